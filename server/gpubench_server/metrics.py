"""The metrics for Prometheus, built at each scrape from one immutable snapshot.

Nothing here waits for a device. Names follow the rules of Prometheus: base units, ``_total`` for
counters, ratios from 0 to 1, and no label whose number of values grows without bound.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import gpubench
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.catalog.load import technologies
from gpubench.catalog.theory import MODULE_BITS, peak_bytes_per_second, theory_for_device
from gpubench.flags import flags_with
from gpubench.protocol.messages import PROTOCOL, QueueStatus
from gpubench.results.machine import DeviceInfo, Theory
from gpubench_server.figures import GaugeFigure
from gpubench_server.metrics_state import Counts

log = logging.getLogger(__name__)

_OUTCOMES = ("ok", "failed", "cancelled", "timeout", "device_lost", "unverified", "skipped")
_REFERENCE_FAMILIES = ("GDDR6", "GDDR6X", "GDDR7")
_SERIES = ("device", "benchmark", "precision")


@dataclass(frozen=True)
class ServiceSnapshot:
    """Everything that a scrape reports, taken at one time."""

    counts: Counts
    devices: tuple[DeviceInfo, ...]
    queues: tuple[QueueStatus, ...]
    open_connections: int
    max_connections: int
    max_queue_length: int
    storable: bool = True
    intact: bool = True


class SnapshotCollector(Collector):
    """Collects the metric families from a new snapshot.

    A family that fails, or a sample that is not a number, is logged and left out; the others are exposed.
    """

    def __init__(self, snapshot: Callable[[], ServiceSnapshot]) -> None:
        self._snapshot = snapshot
        self._failing: set[str] = set()

    def describe(self) -> Iterable[Metric]:
        return []  # otherwise the registry collects once while it registers

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        success = _gauge(
            "collector_success", "1 if all metrics of this group are exposed, else 0.", ("collector",)
        )
        for name, group in _GROUPS.items():
            whole = True
            try:
                for family in group(snapshot):
                    whole = _only_numbers(family) and whole
                    yield family
            except Exception:
                whole = False
                if name not in self._failing:  # once: scrapes come every few seconds
                    log.exception("some metrics of the group %r are left out", name)
            self._failing = self._failing - {name} if whole else self._failing | {name}
            success.add_metric([name], whole)
        yield success


def _only_numbers(family: Metric) -> bool:
    """Drop samples whose value cannot be written, such as an integer of 400 digits; whether all could."""
    before = len(family.samples)
    family.samples = [sample for sample in family.samples if _is_number(sample.value)]
    return len(family.samples) == before


def _is_number(value: float) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _service(snapshot: ServiceSnapshot) -> Iterator[Metric]:
    build = _gauge("build_info", "The version of the server; always 1.", ("version", "protocol", "python"))
    build.add_metric([gpubench.__version__, str(PROTOCOL), platform.python_version()], 1)
    yield build
    for name, text, value in (
        ("open_connections", "Connected clients, without those of the HTTP port.", snapshot.open_connections),
        ("open_connections_limit", "Limit of connected clients.", snapshot.max_connections),
        ("queue_limit", "Limit of runs waiting for one device.", snapshot.max_queue_length),
        ("store_writable", "1 if runs can be stored, else 0; /readyz has the reason.", snapshot.storable),
        ("store_intact", "0 if the database was found damaged at the start: see the log.", snapshot.intact),
    ):
        yield GaugeMetricFamily(f"gpubench_{name}", text, value=value)
    counts = snapshot.counts
    requests = _counter(
        "requests", "Requests by method and by code: ok, or the code of the error.", ("method", "code")
    )
    for (method, code), count in sorted(counts.requests.items()):
        requests.add_metric([method, code], count)
    yield requests
    yield CounterMetricFamily(
        "gpubench_connections_accepted",
        "Connections accepted, without those of the HTTP port.",
        value=counts.accepted_connections,
    )
    rejected = _counter("connections_rejected", "Connections rejected, by reason.", ("reason",))
    for reason in ("too_many", "replaced", "resources", "forbidden", "rate", "handshake"):
        rejected.add_metric([reason], counts.rejected_connections.get(reason, 0))
    yield rejected
    failures = _counter("authentication_failures", "Tokens that were not accepted, by reason.", ("reason",))
    for reason in ("unknown", "wrong", "expired", "not_confidential", "too_many"):
        failures.add_metric([reason], counts.authentication_failures.get(reason, 0))
    yield failures
    refusals = _counter(
        "refusals",
        "Requests refused, by reason and by client: the name of a token, or how other clients are known.",
        ("reason", "principal"),
    )
    for (reason, principal), count in sorted(counts.refusals.items()):
        refusals.add_metric([reason, principal], count)
    yield refusals
    datagrams = _counter("datagrams", "Datagrams received, by outcome.", ("outcome",))
    for outcome in ("answered", "malformed", "too_long", "unpadded", "forbidden", "unanswerable"):
        datagrams.add_metric([outcome], counts.datagrams.get(outcome, 0))
    yield datagrams


def _runs(snapshot: ServiceSnapshot) -> Iterator[Metric]:
    counts = snapshot.counts
    runs = _counter("runs", "Benchmarks run, by outcome.", ("benchmark", "outcome"))
    for benchmark in BENCHMARKS:
        for outcome in _OUTCOMES:
            runs.add_metric([benchmark, outcome], counts.runs.get((benchmark, outcome), 0))
    yield runs
    wait = HistogramMetricFamily(
        "gpubench_queue_wait_seconds", "Time from the acceptance of a run to its start."
    )
    wait.add_metric([], counts.queue_wait.cumulative, counts.queue_wait.sum)
    yield wait
    duration = HistogramMetricFamily(
        "gpubench_run_duration_seconds",
        "Duration of a benchmark, including tuning, warm-up and verification.",
        labels=["benchmark"],
    )
    for benchmark, histogram in sorted(counts.run_duration.items()):
        duration.add_metric([benchmark], histogram.cumulative, histogram.sum)
    yield duration


def _devices(snapshot: ServiceSnapshot) -> Iterator[Metric]:
    labels = (
        "alias",
        "name",
        "runtime",
        "kind",
        "driver_version",
        "runtime_version",
        "compute_capability",
        "pci_bus_id",
    )
    info = _gauge("device_info", "Identity of a device; always 1.", ("device", *labels))
    up = _gauge("device_up", "1 if the device can be opened, else 0.", ("device",))
    memory = _gauge("device_memory_bytes", "Size of the device's memory.", ("device",))
    peak = _gauge(
        "device_peak_bandwidth_bytes_per_second",
        "Theoretical peak: data rate per pin x bus width / 8. Absent if these are not known.",
        ("device",),
    )
    moved = _counter(
        "memory_bytes_moved", "Bytes moved over the memory bus by measured samples.", ("device",)
    )
    for device in snapshot.devices:
        values = (
            device.alias,
            device.name,
            device.runtime,
            device.kind,
            device.driver,
            device.runtime_version,
            device.compute_capability,
            device.pci_bus_id,
        )
        info.add_metric([device.id, *(value or "" for value in values)], 1)
        up.add_metric([device.id], device.unavailable is None)
        if device.memory_bytes:
            memory.add_metric([device.id], device.memory_bytes)
        theory = _theory(snapshot, device)
        if theory:
            peak.add_metric([device.id], theory.peak_bytes_per_second)
        moved.add_metric([device.id], snapshot.counts.moved_bytes.get(device.id, 0))
    yield from (info, up, memory, peak, moved)
    running = _gauge("runs_in_progress", "Runs in progress on the device: 0 or 1.", ("device",))
    waiting = _gauge("queue_length", "Runs waiting for the device.", ("device",))
    for queue in snapshot.queues:
        running.add_metric([queue.device], queue.running is not None)
        waiting.add_metric([queue.device], len(queue.queued))
    yield from (running, waiting)


_FIGURES: tuple[tuple[str, str, Callable[[GaugeFigure], float | None]], ...] = (
    (
        "bandwidth_bytes_per_second",
        "Median of the last valid run: verified, with default parameters, not above theory, and with a "
        "footprint that exceeds the caches as far as they are known.",
        lambda figure: figure.bandwidth_bytes_per_second,
    ),
    (
        "bandwidth_stddev_bytes_per_second",
        "Standard deviation of the samples of the last valid run.",
        lambda figure: figure.stddev_bytes_per_second,
    ),
    (
        "coefficient_of_variation_ratio",
        "Standard deviation / median of the last valid run's samples.",
        lambda figure: (
            None
            if figure.stddev_bytes_per_second is None
            else figure.stddev_bytes_per_second / figure.bandwidth_bytes_per_second
        ),
    ),
    (
        "efficiency_ratio",
        "Measured / theoretical peak of the last valid run. Absent if the peak is not known.",
        lambda figure: figure.efficiency_ratio,
    ),
    (
        "stable",
        f"0 if the last valid run was flagged any of {', '.join(flags_with('unsteady'))}, else 1.",
        lambda figure: figure.stable,
    ),
)


def _figures(snapshot: ServiceSnapshot) -> Iterator[Metric]:
    # The series of a device that is gone are dropped; the store still has its runs.
    present = {device.id for device in snapshot.devices}
    counts = snapshot.counts
    for name, text, value_of in _FIGURES:
        family = _gauge(f"last_run_{name}", text, _SERIES)
        for series, figure in sorted(counts.figures.items()):
            value = value_of(figure)
            if value is not None and series.device in present:
                family.add_metric([series.device, series.benchmark, series.precision], value)
        yield family
    for name, text, times in (
        ("timestamp_seconds", "When the last run ended, valid or not.", counts.run_at),
        ("success_timestamp_seconds", "When the last valid run ended.", counts.success_at),
    ):
        family = _gauge(f"last_run_{name}", text, _SERIES)
        for series, at in sorted(times.items()):
            if series.device in present:
                family.add_metric([series.device, series.benchmark, series.precision], at)
        yield family


def _references(snapshot: ServiceSnapshot) -> Iterator[Metric]:
    known = [row for row in technologies() if row.family in _REFERENCE_FAMILIES]
    reference = _gauge(
        "reference_bandwidth_bytes_per_second",
        "Peak of a memory technology at the bus width of the device. Absent if that is not known; use a "
        "multiple of gpubench_reference_module_bandwidth_bytes_per_second instead.",
        ("device", "technology"),
    )
    for device in snapshot.devices:
        theory = _theory(snapshot, device)
        width = theory.bus_width_bits if theory else device.bus_width_bits
        for row in known if width else ():
            peak = peak_bytes_per_second(row.data_rate_bits_per_second, width or 0)
            reference.add_metric([device.id, row.id], peak)
    yield reference
    module = _gauge(
        "reference_module_bandwidth_bytes_per_second",
        f"Peak of one module of a memory technology, {MODULE_BITS} bits wide; a 256-bit board has 8 modules.",
        ("technology",),
    )
    for row in known:
        module.add_metric([row.id], peak_bytes_per_second(row.data_rate_bits_per_second, MODULE_BITS))
    yield module


_GROUPS: dict[str, Callable[[ServiceSnapshot], Iterator[Metric]]] = {
    "service": _service,
    "runs": _runs,
    "devices": _devices,
    "figures": _figures,
    "references": _references,
}


def _theory(snapshot: ServiceSnapshot, device: DeviceInfo) -> Theory | None:
    """Of the last run, which knows the device best; before the first run, from the device's properties."""
    return snapshot.counts.theories.get(device.id) or theory_for_device(device)


def _gauge(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gpubench_{name}", text, labels=list(labels))


def _counter(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    return CounterMetricFamily(f"gpubench_{name}", text, labels=list(labels))
