"""A point of a benchmark, and the series of samples that is taken of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gpubench.devices.base import Operation
from gpubench.measure.run_context import RunContext
from gpubench.measure.statistics import median, summarize
from gpubench.measure.stopping import MAX_SAMPLES, StopDecision, StoppingRule
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape, Summary


@dataclass(frozen=True)
class Point:
    """One place on a curve, or the only one.

    ``operations`` are one pass, ``poison`` makes its result wrong everywhere and ``verify`` looks at
    all of it afterwards. ``prepare``, untimed, restores what a pass needs and other points change.
    The bytes are those of a pass; with ``dependent`` each of ``accesses`` waits for the one before,
    and the point has a latency. Flags ask for a footprint that keeps caches out, unless
    ``caches_wanted``. Where passes do not always move as much, ``moved_bytes`` counts what was moved
    so far, and takes the place of the bytes. A sample is as many passes as ``passes_for`` tells, but
    ``max_passes`` at most. Of what ``accumulates`` the check is of all passes since it was poisoned,
    and no other point spoils it.
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
    """A point while it is sampled; ``wrong`` is what a check found, if anything."""

    point: Point
    rule: StoppingRule
    passes: int = 1
    warm_up_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    samples_seconds: list[float] = field(default_factory=list)
    samples_bytes: list[int] = field(default_factory=list)
    decision: StopDecision | None = None
    wrong: VerificationResult | None = None
    max_samples: int = MAX_SAMPLES

    @property
    def sample(self) -> list[Operation]:
        return list(self.point.operations) * self.passes

    def settle(self, passes: int) -> None:
        """So many make a sample, if the point allows it."""
        self.passes = min(passes, self.point.max_passes or passes)

    def take(self, context: RunContext) -> None:
        begin = time.monotonic()
        moved = self.point.moved_bytes
        before = moved() if moved else 0
        self.samples_seconds.append(context.device.run(self.sample))
        context.samples_left -= 1
        if moved:
            self.samples_bytes.append(moved() - before)
        self.elapsed_seconds += time.monotonic() - begin
        self.decision = self.rule.decide(self.samples_seconds, self.elapsed_seconds)
        if len(self.samples_seconds) >= self.max_samples:
            self.decision = self.decision or StopDecision(False, f"limit of {self.max_samples} samples")

    def bandwidth(self) -> tuple[int, Summary | None]:
        """Bus bytes of a sample, and the bandwidth; where samples differ, as if each moved the median."""
        if not self.samples_bytes:
            nbytes = self.point.bus_bytes * self.passes
            return nbytes, summarize(self.samples_seconds).bandwidth(nbytes) if nbytes else None
        usual = round(median(self.samples_bytes))
        if min(self.samples_bytes) <= 0:
            return usual, None
        pairs = zip(self.samples_seconds, self.samples_bytes, strict=True)
        return usual, summarize([seconds * usual / moved for seconds, moved in pairs]).bandwidth(usual)
