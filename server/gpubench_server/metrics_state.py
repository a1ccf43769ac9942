"""The data behind the metrics: counted as events happen, read as one immutable snapshot.

Counters start at 0 with the process; the last valid figures are read back from the store.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from gpubench.results.document import Measurement, RunDocument, Status
from gpubench.results.machine import Theory
from gpubench.results.rows import LastOf
from gpubench_server.figures import MAX_BYTES, FigureLabels, GaugeFigure, ended_at, figures_of, own_theory

BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True)
class Histogram:
    """Durations in buckets; the last count is of those above all bounds."""

    counts: tuple[int, ...] = (0,) * (len(BUCKETS_SECONDS) + 1)
    sum: float = 0.0

    def with_value(self, seconds: float) -> Histogram:
        bucket = bisect_left(BUCKETS_SECONDS, seconds)
        counts = (*self.counts[:bucket], self.counts[bucket] + 1, *self.counts[bucket + 1 :])
        return Histogram(counts, self.sum + seconds)

    @property
    def cumulative(self) -> list[tuple[str, float]]:
        bounds = [*(f"{float(bound)}" for bound in BUCKETS_SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


@dataclass(frozen=True)
class Counts:
    """All counters and figures at one time; never changed."""

    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    accepted_connections: int = 0
    rejected_connections: Mapping[str, int] = field(default_factory=dict)
    authentication_failures: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    datagrams: Mapping[str, int] = field(default_factory=dict)
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    moved_bytes: Mapping[str, int] = field(default_factory=dict)
    queue_wait: Histogram = field(default_factory=Histogram)
    run_duration: Mapping[str, Histogram] = field(default_factory=dict)
    figures: Mapping[FigureLabels, GaugeFigure] = field(default_factory=dict)
    run_at: Mapping[FigureLabels, float] = field(default_factory=dict)
    success_at: Mapping[FigureLabels, float] = field(default_factory=dict)
    theories: Mapping[str, Theory] = field(default_factory=dict)


class MetricsState:
    """Counts events and keeps the last valid figures; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Counted apart: a copy of all counts for each request would slow down a ping.
        self._requests: Counter[tuple[str, str]] = Counter()
        self._accepted_connections = 0
        self._rejected_connections: Counter[str] = Counter()
        self._authentication_failures: Counter[str] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._datagrams: Counter[str] = Counter()
        self._counts = Counts()

    def snapshot(self) -> Counts:
        with self._lock:
            return replace(
                self._counts,
                requests=dict(self._requests),
                accepted_connections=self._accepted_connections,
                rejected_connections=dict(self._rejected_connections),
                authentication_failures=dict(self._authentication_failures),
                refusals=dict(self._refusals),
                datagrams=dict(self._datagrams),
            )

    def request(self, method: str, code: str) -> None:
        with self._lock:
            self._requests[method, code] += 1

    def connection_accepted(self) -> None:
        with self._lock:
            self._accepted_connections += 1

    def connection_rejected(self, reason: str) -> None:
        with self._lock:
            self._rejected_connections[reason] += 1

    def authentication_failed(self, reason: str) -> None:
        with self._lock:
            self._authentication_failures[reason] += 1

    def refused(self, reason: str, principal: str) -> None:
        """A request was refused for who sent it, or for the state of the service."""
        with self._lock:
            self._refusals[reason, principal] += 1

    def datagram(self, outcome: str) -> None:
        with self._lock:
            self._datagrams[outcome] += 1

    def run_started(self, wait_seconds: float) -> None:
        with self._lock:
            self._counts = replace(self._counts, queue_wait=self._counts.queue_wait.with_value(wait_seconds))

    def measured(self, benchmark: str, seconds: float) -> None:
        """A benchmark took this long, including its tuning, warm-up and verification."""
        with self._lock:
            durations = dict(self._counts.run_duration)
            durations[benchmark] = durations.get(benchmark, Histogram()).with_value(seconds)
            self._counts = replace(self._counts, run_duration=durations)

    def series_of(self, document: RunDocument) -> list[LastOf]:
        """The series that this run is the last of, for the store: they are read back after a restart."""
        with self._lock:
            known = self._counts.figures
        return [
            LastOf(series.device, series.benchmark, series.precision, valid)
            for series, figure in figures_of(document, known)
            for valid in ((False, True) if figure is not None else (False,))
        ]

    def run_ended(self, document: RunDocument, benchmarks: list[str]) -> None:
        with self._lock:
            runs = Counter(self._counts.runs)
            runs.update(_outcomes(document, benchmarks))
            moved = Counter(self._counts.moved_bytes)
            if document.device:
                moved[document.device.id] += sum(
                    _moved_bytes(each, document.device.last_level_cache_bytes)
                    for each in document.measurements
                )
            self._counts = replace(with_figures(self._counts, document), runs=runs, moved_bytes=moved)

    def refill(self, documents: Iterable[RunDocument]) -> None:
        """Take over the figures of earlier runs, oldest first; what is damaged is logged and left out."""
        for document in documents:
            with self._lock:
                self._counts = with_figures(self._counts, document)


def with_figures(counts: Counts, document: RunDocument) -> Counts:
    """``counts`` with a run's figures in place of earlier ones.

    Only a valid figure changes the gauges. Any other result changes only the time of the last run, so that
    the last valid figure stays, together with its own time.
    """
    if document.device is None or document.finished_at is None or (at := ended_at(document)) is None:
        return counts
    figures, run_at, success_at = dict(counts.figures), dict(counts.run_at), dict(counts.success_at)
    theories = dict(counts.theories)
    theory = own_theory(document)
    if theory is not None:
        theories[document.device.id] = theory
    for series, figure in figures_of(document, counts.figures):
        run_at[series] = at
        if figure is not None:
            figures[series] = figure
            success_at[series] = at
    return replace(counts, figures=figures, run_at=run_at, success_at=success_at, theories=theories)


def _moved_bytes(measurement: Measurement, cache_bytes: int | None) -> int:
    """Over the memory bus, which the part of a sweep that fits into caches does not use."""
    if measurement.benchmark == "cache_sweep" and (
        cache_bytes is None or (measurement.footprint_bytes or 0) <= cache_bytes
    ):
        return 0
    moved = measurement.bus_bytes or 0
    return moved * len(measurement.samples_seconds) if 0 < moved < MAX_BYTES else 0


_SEVERITY: tuple[Status, ...] = ("skipped", "ok", "cancelled", "timeout", "failed", "unverified")


def _outcomes(document: RunDocument, benchmarks: list[str]) -> Counter[tuple[str, str]]:
    """The outcome of each benchmark of a run; one that was never reached has the outcome of the run.

    Of several measurements the worst counts: a curve with one wrong point is wrong.
    """
    own: dict[str, Status] = {}
    for measurement in document.measurements:
        before = own.get(measurement.benchmark, "skipped")
        own[measurement.benchmark] = max(before, measurement.status, key=_SEVERITY.index)
    return Counter((benchmark, own.get(benchmark, document.outcome)) for benchmark in benchmarks)
