"""Bandwidth by what the data hold: zeros, constants and random bits, written and copied.

All patterns use the same memory, refilled before each sample of a copy: memory of its own for each
would be a fifth of the footprint, and lie in other rows of the chips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

from gpubench.benchmarks.parameters import Parameters
from gpubench.devices.base import Buffer, Launch, Program
from gpubench.measure.memory import PAGE_BYTES, Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.measure.verification.arrays import Checks, salt_of
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.units import format_bandwidth, format_percent, format_ratio

PATTERNS = ("zeros", "ones", "checkerboard", "walking", "random")
"""In the order of pattern.cl's numbers."""

Kernel = Literal["write", "copy"]
KERNELS: tuple[Kernel, ...] = ("write", "copy")

_WORD_BYTES = 8
_NOTABLE_RATIO = 1.05
"""A smaller gain is not worth a figure."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each kernel and pattern, and for each kernel what the fastest pattern gains."""
    parameters = Parameters(**planned.parameters)
    shapes = {kernel: candidates(context.device.info, kernel, "double", {}) for kernel in KERNELS}
    step = 2 * max(PAGE_BYTES, *(chunk_bytes(shape) for tried in shapes.values() for shape in tried))
    segments = context.arena.cut(context.footprint_bytes(parameters.footprint_bytes), 1, _WORD_BYTES, step)
    checks = Checks(context, "double")
    try:
        points: list[Point] = []
        for kernel in KERNELS:
            tasks = [PatternTask(context, checks, segments, kernel, p, parameters.seed) for p in PATTERNS]
            shape = tuned_shape(context, tasks[-1], shapes[kernel], planned.parameters)
            points += [task.point(shape) for task in tasks]
        limit = context.point_limit_seconds(parameters.time_limit_seconds)
        measured = measure_points(context, planned, points, limit)
    finally:
        checks.release()
    yield from measured
    for kernel in KERNELS:
        yield from findings(kernel, [m for m in measured if m.axes["kernel"] == kernel])


class PatternTask:
    """One pattern, written to a whole cut of memory or copied from its first half to its second."""

    name = "pattern"
    dtype = "double"

    def __init__(
        self,
        context: RunContext,
        checks: Checks,
        segments: Sequence[Segment],
        kernel: Kernel,
        pattern: str,
        seed: int,
    ) -> None:
        self._context = context
        self._checks = checks
        self._segments = segments
        self.access = kernel
        self._pattern = pattern
        self._number = PATTERNS.index(pattern)
        self._salt = salt_of(seed)

    @property
    def footprint_bytes(self) -> int:
        return sum(segment.elements for segment in self._segments) * _WORD_BYTES

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        copied = self.access == "copy"
        return self.footprint_bytes // (2 if copied else 1), self.footprint_bytes

    def program(self, shape: Shape) -> Program:
        return self._context.programs.shaped("pattern", self.dtype, shape)

    def launches(self, shape: Shape) -> list[Launch]:
        if self.access == "write":
            return [self._write(s, s.arrays[0], s.elements, shape) for s in self._segments]
        kernel = self.program(shape).kernel("pattern_copy")
        launches = []
        for source, copy, elements in self._halves:
            g = geometry(shape, elements, _WORD_BYTES)
            launches.append(Launch(kernel, g.groups, shape.group_size, (source, copy, g.vectors, g.rounds)))
        return launches

    def point(self, shape: Shape) -> Point:
        axes = {"kernel": self.access, "pattern": self._pattern}
        prepare = (lambda: self.fill(shape)) if self.access == "copy" else None
        return point_of(self, shape, self.poison, self.verify, axes=axes, prepare=prepare)

    def fill(self, shape: Shape) -> None:
        """Write the pattern to the half that a copy reads."""
        halves = zip(self._segments, self._halves, strict=True)
        self._context.run([self._write(s, source, elements, shape) for s, (source, _, elements) in halves])

    def poison(self) -> None:
        """Words of the hash, which are no pattern's; all bits set would be right for ones."""
        copies = [(copy, elements) for _, copy, elements in self._halves]
        wholes = [(segment.arrays[0], segment.elements) for segment in self._segments]
        for words, elements in copies if self.access == "copy" else wholes:
            self._checks.fill(words, elements, 0, self._salt)

    def verify(self) -> VerificationResult:
        """Every word of the footprint."""
        arrays: list[tuple[Buffer, int, int]] = []
        for segment, (source, copy, elements) in zip(self._segments, self._halves, strict=True):
            if self.access == "write":
                arrays += [(segment.arrays[0], segment.elements, segment.first)]
            else:
                arrays += [(source, elements, segment.first), (copy, elements, segment.first)]
        numbers = (self._salt, self._number, 0)
        return self._checks.elements(self._check_program, "pattern", [(*array, *numbers) for array in arrays])

    @cached_property
    def _halves(self) -> list[tuple[Buffer, Buffer, int]]:
        """Of each segment: source, copy, and how many words each holds."""
        halves = []
        for segment in self._segments:
            nbytes = segment.elements * _WORD_BYTES // 2
            view = segment.allocation.view
            halves.append((view(0, nbytes), view(nbytes, nbytes), segment.elements // 2))
        return halves

    @cached_property
    def _check_program(self) -> Program:
        size = self._checks.group_size
        return self._context.programs.program("pattern", self.dtype, group_size=size, UNROLL=1)

    def _write(self, segment: Segment, words: Buffer, elements: int, shape: Shape) -> Launch:
        kernel = self.program(shape).kernel("pattern_write")
        g = geometry(shape, elements, _WORD_BYTES)
        arguments = (words, g.vectors, g.rounds, segment.first, self._salt, self._number)
        return Launch(kernel, g.groups, shape.group_size, arguments)


def findings(kernel: Kernel, measured: Sequence[Measurement]) -> Iterator[Finding]:
    """How much faster than random data the fastest pattern is, or how much faster one may be at most."""
    rates = {
        str(m.axes["pattern"]): m.bandwidth_bytes_per_second for m in measured if m.bandwidth_bytes_per_second
    }
    random = rates.pop("random", None)
    if random is None or not rates:
        return
    fastest = max(rates, key=lambda pattern: rates[pattern].median)
    rate = rates[fastest]
    ratio = rate.median / random.median
    at_most = max(each.high for each in rates.values()) / random.low - 1
    if ratio >= _NOTABLE_RATIO and rate.low > random.high:
        text = (
            f"{kernel}: {fastest} at {format_bandwidth(rate.median)}, {format_ratio(ratio)} that of random "
            f"data ({format_bandwidth(random.median)}): a figure from such data is not the memory's"
        )
    elif at_most < _NOTABLE_RATIO - 1:
        text = f"{kernel}: no pattern is {format_percent(_NOTABLE_RATIO - 1)} faster than random data"
    else:
        text = f"{kernel}: no measurable gain over random data (at most {format_percent(at_most)})"
    yield Finding("pattern", f"{kernel}_fastest_to_random", text, ratio, "ratio")
