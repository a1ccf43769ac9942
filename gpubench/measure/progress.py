"""Report how far a benchmark is: a ratio that only rises, and the figure so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gpubench.measure.statistics import median, summarize
from gpubench.results.progress import Phase, Progress

# The begin and the end of each phase, as shares of the whole benchmark.
_PHASES: dict[Phase, tuple[float, float]] = {
    "starting": (0.0, 0.02),
    "tuning": (0.02, 0.3),
    "verifying": (0.3, 0.35),
    "warming_up": (0.35, 0.4),
    "measuring": (0.4, 1.0),
}

PERIOD_SECONDS = 0.1
"""Of reports while sampling: they must not disturb the samples."""


class ProgressReporter:
    """Progress of the ``index``-th of ``count`` benchmarks."""

    def __init__(self, report: Callable[[Progress], None], benchmark: str, index: int, count: int) -> None:
        self._report = report
        self._benchmark = benchmark
        self._index = index
        self._count = count
        self._next = 0.0
        self._part = (0, 1)
        self._done_ratio = 0.0

    @property
    def parts_left(self) -> int:
        """Of the benchmark, with the current one."""
        index, count = self._part
        return count - index

    def part(self, index: int, count: int) -> None:
        """Reports to come are of the ``index``-th of ``count`` parts of the benchmark."""
        self._part = (index, count)

    def phase(self, phase: Phase, part: float = 0.0) -> None:
        """``part`` of the phase is done, 0 to 1."""
        self._report(Progress(phase=phase, benchmark=self._benchmark, done_ratio=self._ratio(phase, part)))

    def samples(self, samples: Sequence[float], bus_bytes: int, part: float) -> None:
        """The figure of the samples so far, ten times a second at most."""
        if not samples or not self._is_due():
            return
        middle = median(samples)
        self._report(
            Progress(
                phase="measuring",
                benchmark=self._benchmark,
                done_ratio=self._ratio("measuring", part),
                samples=len(samples),
                bandwidth_bytes_per_second=bus_bytes / middle if bus_bytes and middle > 0 else None,
                interval_ratio=summarize(samples).interval_ratio,
            )
        )

    def points(self, count: int, part: float) -> None:
        """Of points sampled in turns, as often; without a figure, since the benchmark has several."""
        if self._is_due():
            self._report(
                Progress(
                    phase="measuring",
                    benchmark=self._benchmark,
                    done_ratio=self._ratio("measuring", part),
                    message=f"{count} points",
                )
            )

    def _is_due(self) -> bool:
        now = time.monotonic()
        due = now >= self._next
        if due:
            self._next = now + PERIOD_SECONDS
        return due

    def _ratio(self, phase: Phase, part: float) -> float:
        begin, end = _PHASES[phase]
        index, count = self._part
        done = begin + (end - begin) * min(1.0, part)
        ratio = (self._index + (index + done) / count) / self._count
        self._done_ratio = max(self._done_ratio, ratio)
        return self._done_ratio
