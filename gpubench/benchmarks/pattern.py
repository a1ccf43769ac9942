"""Bandwidth by what the data hold: zeros, constants and random bits, written and copied.

All patterns use the same memory, refilled before each sample of a copy: separate memory for each
would be a fifth of the footprint, and lie in other rows of the chips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from gpubench.benchmarks.data_array import DataArray, data_array
from gpubench.devices.base import Buffer, Launch, Program
from gpubench.measure.memory import PAGE_BYTES, Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.units import format_bandwidth, format_percent, format_ratio

PATTERNS = ("zeros", "ones", "checkerboard", "walking", "random")
"""In the order of pattern.cl's numbers."""

Kernel = Literal["write", "copy"]
KERNELS: tuple[Kernel, ...] = ("write", "copy")

_NOTABLE_RATIO = 1.05
"""A smaller gain is not worth a figure."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each kernel and pattern, and for each kernel the gain of the fastest pattern."""
    shapes = {kernel: candidates(context.device.info, kernel, "double", {}) for kernel in KERNELS}
    step = 2 * max(PAGE_BYTES, *(chunk_bytes(shape) for tried in shapes.values() for shape in tried))
    with data_array(context, planned, "double", step) as array:
        points: list[Point] = []
        for kernel in KERNELS:
            tasks = [PatternTask(array, kernel, pattern) for pattern in PATTERNS]
            shape = tuned_shape(context, tasks[-1], shapes[kernel], planned.parameters)
            points += [task.point(shape) for task in tasks]
        measured = measure_points(context, planned, points)
    yield from measured
    for kernel in KERNELS:
        yield from findings(kernel, [m for m in measured if m.axes["kernel"] == kernel])


@dataclass
class PatternTask:
    """One pattern, written to the whole array or copied from the first half of each segment to the second."""

    name: ClassVar[str] = "pattern"
    dtype: ClassVar[str] = "double"

    array: DataArray
    access: Kernel
    pattern: str

    @property
    def footprint_bytes(self) -> int:
        return self.array.nbytes

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        copied = self.access == "copy"
        return self.footprint_bytes // (2 if copied else 1), self.footprint_bytes

    def program(self, shape: Shape) -> Program:
        return self.array.context.programs.shaped("pattern", self.dtype, shape)

    def launches(self, shape: Shape) -> list[Launch]:
        if self.access == "write":
            return [self._write(s, s.arrays[0], s.elements, shape) for s in self.array.segments]
        kernel = self.program(shape).kernel("pattern_copy")
        launches = []
        for source, copy, elements in self._halves:
            g = geometry(shape, elements, self.array.word_bytes)
            launches.append(Launch(kernel, g.groups, shape.group_size, (source, copy, g.vectors, g.rounds)))
        return launches

    def point(self, shape: Shape) -> Point:
        axes = {"kernel": self.access, "pattern": self.pattern}
        prepare = (lambda: self.fill(shape)) if self.access == "copy" else None
        return point_of(self, shape, self.poison, self.verify, axes=axes, prepare=prepare)

    def fill(self, shape: Shape) -> None:
        """Write the pattern to the half that a copy reads."""
        halves = zip(self.array.segments, self._halves, strict=True)
        self.array.context.run(
            [self._write(s, source, elements, shape) for s, (source, _, elements) in halves]
        )

    def poison(self) -> None:
        """Words of the hash, which are no pattern's; all bits set would be right for ones."""
        copies = [(copy, elements) for _, copy, elements in self._halves]
        wholes = [(segment.arrays[0], segment.elements) for segment in self.array.segments]
        for words, elements in copies if self.access == "copy" else wholes:
            self.array.verifier.fill(words, elements, 0, self.array.salt)

    def verify(self) -> VerificationResult:
        """Every word of the footprint."""
        arrays: list[tuple[Buffer, int, int]] = []
        for segment, (source, copy, elements) in zip(self.array.segments, self._halves, strict=True):
            if self.access == "write":
                arrays += [(segment.arrays[0], segment.elements, segment.first)]
            else:
                arrays += [(source, elements, segment.first), (copy, elements, segment.first)]
        verifier, numbers = self.array.verifier, (self.array.salt, self._number, 0)
        program = self.array.context.programs.program(
            "pattern", self.dtype, group_size=verifier.group_size, UNROLL=1
        )
        return verifier.verify_elements(program, "pattern", [(*each, *numbers) for each in arrays])

    @property
    def _number(self) -> int:
        return PATTERNS.index(self.pattern)

    @cached_property
    def _halves(self) -> list[tuple[Buffer, Buffer, int]]:
        """Of each segment: source, copy, and how many words each holds."""
        halves = []
        for segment in self.array.segments:
            nbytes = segment.elements * self.array.word_bytes // 2
            view = segment.allocation.view
            halves.append((view(0, nbytes), view(nbytes, nbytes), segment.elements // 2))
        return halves

    def _write(self, segment: Segment, words: Buffer, elements: int, shape: Shape) -> Launch:
        kernel = self.program(shape).kernel("pattern_write")
        g = geometry(shape, elements, self.array.word_bytes)
        arguments = (words, g.vectors, g.rounds, segment.first, self.array.salt, self._number)
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
