"""What the gateway counts, in a file for Prometheus: the textfile collector of node_exporter reads it.

It is a file and not a port, because a port would be one more thing to attack in the process that hostile
clients reach.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpubench.atomic_files import replaced_by, write_file
from gpubench.errors import InvalidParameters, MissingDependency

log = logging.getLogger(__name__)

SUFFIX = ".prom"
"""node_exporter reads no others."""

PERIOD_SECONDS = 5.0
"""Between two writes; Prometheus usually scrapes every 15 s or less often."""

_MODE = 0o644
"""Of a new file: node_exporter has a user of its own, and nothing in it is secret."""

ACCEPTED = "accepted"

FAULTS = ("crashed", "failed", "taken_over")
"""How a client's process can go wrong: it ended by a signal or with an error code, it raised an exception, or
it sent its parent what no honest one does, and was killed. One process is counted once."""


@dataclass(frozen=True)
class Snapshot:
    counts: Counter[str]
    """``ACCEPTED``, ``FAULTS``, and the reasons of refusals."""
    connections: int
    max_connections: int
    is_serving: bool


class MetricsFile:
    """Kept up to date by ``write_if_due``, which the gateway's loop calls. Without ``path`` there is none.

    Raises ``MissingDependency`` if there is one, and prometheus-client is not installed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            _require_client()  # before the gateway becomes a user who may not be able to read it
        self._due_at = 0.0
        self._is_failing = False

    def begin(self, snapshot: Snapshot) -> None:
        """The first write. Raises ``InvalidParameters`` if the file cannot be written."""
        if self._path is None:
            return
        try:
            self._write(self._path, snapshot)
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
        if replaced_by(path) is None:  # a pipe, for example, which would keep the gateway waiting
            raise OSError(errno.EINVAL, "it is not a regular file")
        from gpubench_server.gateway.metrics import exposition  # it is in the extra server

        # Not flushed to the disk, which could keep the gateway waiting, and which nobody needs after a crash.
        write_file(path, exposition(snapshot), flushes=False, new_mode=_MODE)


def _require_client() -> None:
    try:
        import gpubench_server.gateway.metrics  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"--metrics-file needs {(error.name or '').replace('_', '-')}, which is not installed; run "
            "pip install '.[server]' in the checkout"
        ) from None
