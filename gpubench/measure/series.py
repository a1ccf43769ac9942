"""A point of a benchmark, and the series of samples taken of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gpubench.devices.base import Operation
from gpubench.errors import BenchmarkFailed
from gpubench.measure.run_context import RunContext
from gpubench.measure.statistics import median, summarize
from gpubench.measure.stop_decision import StopDecision
from gpubench.measure.stopping import MAX_SAMPLES, StoppingRule
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape, Summary

MAX_DISCARDED_IN_A_ROW = 10


@dataclass(frozen=True)
class Point:
    """One point of a curve, or the only one.

    ``operations`` are one pass, ``poison`` makes its output wrong everywhere and ``verify`` verifies
    all of it afterwards. ``prepare``, untimed, restores what a pass needs and other points change.
    The bytes are those of a pass. With ``dependent`` each of ``accesses`` waits for the one before,
    and the point has a latency. ``places`` are where or when it was measured, for the document.
    Flags ask for a footprint that keeps caches out, unless ``caches_wanted``. If passes do not always
    move as much, ``moved_bytes`` counts what was moved so far, in place of the bytes. A sample is as
    many passes as ``passes_for`` says, but ``max_passes`` at most. If it ``accumulates``, its output is
    that of all passes since it was poisoned, and no other point overwrites it.
    """

    operations: Sequence[Operation]
    payload_bytes: int
    bus_bytes: int
    footprint_bytes: int
    poison: Callable[[], None]
    verify: Callable[[], VerificationResult]
    axes: Mapping[str, int | float | str] = field(default_factory=dict)
    places: Mapping[str, int | float] = field(default_factory=dict)
    shape: Shape | None = None
    accesses: int = 0
    dependent: bool = False
    caches_wanted: bool = False
    prepare: Callable[[], None] | None = None
    max_passes: int | None = None
    moved_bytes: Callable[[], int] | None = None
    accumulates: bool = False


@dataclass
class SampleSeries:
    """A point while it is sampled; ``failure`` is the result of a verification that failed."""

    point: Point
    rule: StoppingRule
    passes: int = 1
    warm_up_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    samples_seconds: list[float] = field(default_factory=list)
    samples_bytes: list[int] = field(default_factory=list)
    decision: StopDecision | None = None
    failure: VerificationResult | None = None
    max_samples: int = MAX_SAMPLES
    discarded: int = 0
    discarded_in_a_row: int = 0

    @property
    def sample(self) -> list[Operation]:
        return list(self.point.operations) * self.passes

    def set_passes(self, passes: int) -> None:
        """How many make a sample; fewer if the point has a maximum."""
        self.passes = min(passes, self.point.max_passes or passes)

    def take_sample(self, context: RunContext) -> None:
        """Discards one that began before all of it was queued; raises ``BenchmarkFailed`` after
        ``MAX_DISCARDED_IN_A_ROW`` of them."""
        begin = time.monotonic()
        moved = self.point.moved_bytes
        before, late_starts = moved() if moved else 0, context.device.late_starts
        seconds = context.device.run(self.sample)
        if context.device.late_starts > late_starts:
            self.elapsed_seconds += time.monotonic() - begin
            self._discard()
            return
        self.discarded_in_a_row = 0
        self.samples_seconds.append(seconds)
        context.samples_left -= 1
        if moved:
            self.samples_bytes.append(moved() - before)
        self.elapsed_seconds += time.monotonic() - begin
        self.decision = self.rule.decide(self.samples_seconds, self.elapsed_seconds)
        if len(self.samples_seconds) >= self.max_samples:
            self.decision = self.decision or StopDecision("sample_limit", {"max_samples": self.max_samples})

    def _discard(self) -> None:
        self.discarded += 1
        self.discarded_in_a_row += 1
        if self.discarded_in_a_row >= MAX_DISCARDED_IN_A_ROW:
            raise BenchmarkFailed(
                f"{self.discarded_in_a_row} samples in a row began before the host had queued them: it is "
                "too slow, as in a container whose quota of processor time is used up; raise it, or repeat"
            )

    def bandwidth(self) -> tuple[int, Summary | None]:
        """Bus bytes of a sample, and the bandwidth; if samples differ, as if each moved the median."""
        if not self.samples_bytes:
            nbytes = self.point.bus_bytes * self.passes
            return nbytes, summarize(self.samples_seconds).bandwidth(nbytes) if nbytes else None
        usual = round(median(self.samples_bytes))
        if min(self.samples_bytes) <= 0:
            return usual, None
        pairs = zip(self.samples_seconds, self.samples_bytes, strict=True)
        return usual, summarize([seconds * usual / moved for seconds, moved in pairs]).bandwidth(usual)
