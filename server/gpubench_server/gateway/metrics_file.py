"""What the gateway counts, in a file for Prometheus: the textfile collector of node_exporter reads it.

It is a file and not a port, because a port would be one more thing to attack in the process that hostile
clients reach.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import gpubench
from gpubench.atomic_files import write_file
from gpubench.errors import InvalidParameters

log = logging.getLogger(__name__)

SUFFIX = ".prom"
"""node_exporter reads no others."""

PERIOD_SECONDS = 5.0
"""Between two writes; Prometheus usually scrapes every 15 s or less often."""

_MODE = 0o644
"""node_exporter has a user of its own; nothing in the file is secret."""

ACCEPTED = "accepted"

FAULTS = ("crashed", "failed", "taken_over")
"""How a client's process can go wrong: it ended by a signal or with an error code, it raised an exception, or
it sent its parent what no honest one does, and was killed."""

_USUAL_REASONS = ("connection_rate", "handshake", "not_authenticated", "replaced", "too_many_connections")
"""Of refusals: exposed from the start, so that their rates are right from the first one."""


@dataclass(frozen=True)
class Snapshot:
    counts: Counter[str]
    """``ACCEPTED``, ``FAULTS``, and the reasons of refusals."""
    connections: int
    max_connections: int
    is_serving: bool


def families(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.counts
    build = GaugeMetricFamily("gpubench_gateway_build_info", "The version of gpubench.", labels=["version"])
    build.add_metric([gpubench.__version__], 1)
    yield build
    for name, text, value in (
        ("up", "1 while the gateway serves, 0 once it has ended.", snapshot.is_serving),
        ("connections", "Clients connected.", snapshot.connections),
        ("max_connections", "Clients that may be connected at once.", snapshot.max_connections),
    ):
        yield GaugeMetricFamily(f"gpubench_gateway_{name}", text, value=value)
    yield CounterMetricFamily(
        "gpubench_gateway_connections_accepted", "Connections accepted.", value=counts[ACCEPTED]
    )
    refusals = CounterMetricFamily(
        "gpubench_gateway_refusals", "Connections and requests refused, by reason.", labels=["reason"]
    )
    for reason in sorted({*_USUAL_REASONS, *counts} - {ACCEPTED, *FAULTS}):
        refusals.add_metric([reason], counts[reason])
    yield refusals
    faults = CounterMetricFamily(
        "gpubench_gateway_process_faults",
        "Processes of clients that crashed, failed with an exception, or were killed as taken over.",
        labels=["fault"],
    )
    for fault in FAULTS:
        faults.add_metric([fault], counts[fault])
    yield faults


class MetricsFile:
    """Kept up to date by ``write_if_due``, which the gateway's loop calls. With ``path`` None nothing is
    written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._due_at = 0.0
        self._is_failing = False

    def begin(self, snapshot: Snapshot) -> None:
        """The first write. Raises ``InvalidParameters`` if the file cannot be written."""
        if self._path is None:
            return
        try:
            self._write(self._path, snapshot)
            self._path.chmod(_MODE)
        except OSError as error:
            raise InvalidParameters(
                f"the metrics file {self._path} cannot be written: {error.strerror}; let this user write in "
                "its folder, or choose another"
            ) from None

    def write_if_due(self, take: Callable[[], Snapshot]) -> None:
        if self._path is not None and time.monotonic() >= self._due_at:
            self._try(self._path, take())

    def end(self, snapshot: Snapshot) -> None:
        if self._path is not None:
            self._try(self._path, snapshot)

    def _try(self, path: Path, snapshot: Snapshot) -> None:
        """What keeps it from being written is logged once."""
        try:
            self._write(path, snapshot)
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                log.warning("the metrics file %s cannot be written: %s", path, error.strerror)
            self._is_failing = True

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        self._due_at = time.monotonic() + PERIOD_SECONDS
        # Not flushed to the disk, which could keep the gateway waiting, and which nobody needs after a crash.
        write_file(path, generate_latest(_Families(snapshot)), flushes=False)


@dataclass(frozen=True)
class _Families(Collector):
    snapshot: Snapshot

    def collect(self) -> Iterator[Metric]:
        return families(self.snapshot)
