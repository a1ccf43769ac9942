"""Reads and writes mixed in one stream of accesses: the cost of turning the bus round."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from gpubench.benchmarks.data_array import DataArray, data_array
from gpubench.devices.base import Launch, Program
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.measure.verification.result import VerificationResult, combined
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.units import format_bandwidth, format_percent

MIXES = ((1, 0), (3, 1), (2, 1), (1, 1), (1, 2), (0, 1))
"""Reads to writes."""

NOISE_RATIO = 0.02
"""An interval must exclude the expected value by this share before the difference is a cost."""

_TUNED_ON = (1, 1)
_PARTS = math.lcm(*map(sum, MIXES))


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each mix, all over the same memory and in the same access shape."""
    shapes = candidates(context.device.info, "mix", "double", {})
    step = _PARTS * max(PAGE_BYTES, *map(chunk_bytes, shapes))
    # The memory is rounded up to a whole step.
    most_bytes = context.footprint_bytes(planned.parameters["footprint_bytes"]) + step
    groups = max(shape.groups or most_bytes // chunk_bytes(shape) for shape in shapes)
    with data_array(context, planned, "double", step, groups=groups) as array:
        tasks = {mix: MixTask(array, *mix) for mix in MIXES}
        tasks[_TUNED_ON].fill()
        shape = tuned_shape(context, tasks[_TUNED_ON], shapes, planned.parameters)
        measured = measure_points(context, planned, [task.point(shape) for task in tasks.values()])
    yield from measured
    yield from findings(measured)


@dataclass
class MixTask:
    """One mix: the first part of each segment is read and the rest written."""

    access: ClassVar[Literal["mix"]] = "mix"
    name: ClassVar[str] = "mix"
    dtype: ClassVar[str] = "double"

    array: DataArray
    reads: int
    writes: int

    @property
    def footprint_bytes(self) -> int:
        return self.array.nbytes

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        """All is payload; the stores of sums count on the bus."""
        launches = self.launches(shape) if self.reads else []
        stored = sum(launch.groups for launch in launches) * self.array.word_bytes
        return self.footprint_bytes, self.footprint_bytes + stored

    def program(self, shape: Shape) -> Program:
        programs = self.array.context.programs
        return programs.shaped("mix", self.dtype, shape, READS=self.reads, WRITES=self.writes)

    def launches(self, shape: Shape) -> list[Launch]:
        """One pass: every part once."""
        array = self.array
        kernel = self.program(shape).kernel("read_and_write")
        g = geometry(shape, self._part_bytes // array.word_bytes, array.word_bytes)
        read_bytes, written_bytes = self.reads * self._part_bytes, self.writes * self._part_bytes
        launches = []
        for segment, sums in zip(array.segments, array.sums.buffers, strict=True):
            # A kernel that does not read or does not write makes no use of that argument.
            read = segment.allocation.view(0, read_bytes or written_bytes)
            written = segment.allocation.view(read_bytes, written_bytes) if written_bytes else sums
            first = segment.first + self._written_from
            arguments = (read, written, sums, g.vectors, g.rounds, first, array.salt)
            launches.append(Launch(kernel, g.groups, shape.group_size, arguments))
        return launches

    def point(self, shape: Shape) -> Point:
        axes = {"reads": self.reads, "writes": self.writes}
        return point_of(self, shape, self.poison, self.verify, axes=axes)

    def fill(self) -> None:
        array, kernel = self.array, self._verifying_program.kernel("fill")
        array.context.run(
            [
                array.verifier.launch(kernel, s.arrays[0], s.elements, s.first, array.salt)
                for s in array.segments
            ]
        )

    def poison(self) -> None:
        """What is read is right and what is written is not: each mix writes other parts."""
        self.fill()
        self.array.sums.clear()
        for s in self.array.segments if self.writes else ():
            view = s.allocation.view(self.reads * self._part_bytes, self.writes * self._part_bytes)
            self.array.verifier.poison(view, s.elements - self._written_from)

    def verify(self) -> VerificationResult:
        """The whole footprint, and what was summed of it."""
        verifier = self.array.verifier
        arrays = [(s.arrays[0], s.elements, s.first, self.array.salt, 0, 0) for s in self.array.segments]
        elements = verifier.verify_elements(self._verifying_program, "mix", arrays)
        return combined([elements, verifier.verify_sums(self._expected_sum, self.array.sums)])

    @property
    def _part_bytes(self) -> int:
        segment_bytes = self.array.segments[0].elements * self.array.word_bytes
        return segment_bytes // (self.reads + self.writes)

    @property
    def _written_from(self) -> int:
        """The first word of a segment that is written."""
        return self.reads * self._part_bytes // self.array.word_bytes

    @cached_property
    def _expected_sum(self) -> int:
        parts = [(self._written_from, s.first, self.array.salt, 0, 0) for s in self.array.segments]
        return self.array.verifier.expected_sum(self._verifying_program, "mix", parts)

    @cached_property
    def _verifying_program(self) -> Program:
        size = self.array.verifier.group_size
        return self.array.context.programs.program(
            "mix", self.dtype, group_size=size, UNROLL=1, READS=1, WRITES=1, ORDER_TILE=0
        )


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The mix that is farthest below what reading alone and writing alone predict."""
    rates = {
        (int(m.axes["reads"]), int(m.axes["writes"])): m.bandwidth_bytes_per_second
        for m in measured
        if m.bandwidth_bytes_per_second
    }
    reading, writing = rates.pop((1, 0), None), rates.pop((0, 1), None)
    if not reading or not writing or not rates:
        return
    worst = min(rates, key=lambda mix: rates[mix].median / expected(mix, reading.median, writing.median))
    rate, usual = rates[worst], expected(worst, reading.median, writing.median)
    ratio = rate.median / usual
    figures = (
        f"{worst[0]}:{worst[1]} has {format_bandwidth(rate.median)}, and would have "
        f"{format_bandwidth(usual)} at the rates of reading alone and writing alone"
    )
    at_most = max(1 - each.low / expected(mix, reading.high, writing.high) for mix, each in rates.items())
    if rate.high < (1 - NOISE_RATIO) * expected(worst, reading.low, writing.low):
        text = f"turning the bus around costs up to {format_percent(1 - ratio)}: {figures}"
    elif at_most < NOISE_RATIO:
        text = f"turning the bus around costs less than {format_percent(NOISE_RATIO)}: {figures}"
    else:
        text = f"no measurable cost of turning the bus around (at most {format_percent(at_most)}): {figures}"
    yield Finding("mix", "worst_mix_to_expected", text, ratio, "ratio")


def expected(mix: tuple[int, int], reading: float, writing: float) -> float:
    """In byte/s, if each byte takes as long as in a pure stream and turning the bus round takes no time."""
    reads, writes = mix
    return (reads + writes) / (reads / reading + writes / writing)
