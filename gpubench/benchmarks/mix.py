"""Reads and writes mixed in one stream of accesses: what turning the bus round costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

from gpubench.benchmarks.parameters import Parameters
from gpubench.devices.base import Launch, Program
from gpubench.measure.memory import PAGE_BYTES, Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.measure.verification.arrays import Checks, SumPlaces, salt_of
from gpubench.measure.verification.result import VerificationResult, combined
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.units import format_bandwidth, format_percent

MIXES = ((1, 0), (3, 1), (2, 1), (1, 1), (1, 2), (0, 1))
"""Reads to writes."""

NOISE_RATIO = 0.02
"""A cost is one only if the interval excludes a smaller one."""

_TUNED_ON = (1, 1)
_PARTS = math.lcm(*map(sum, MIXES))
_WORD_BYTES = 8


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each mix, all over the same memory and in the same access shape."""
    parameters = Parameters(**planned.parameters)
    shapes = candidates(context.device.info, "mix", "double", {})
    step = _PARTS * max(PAGE_BYTES, *map(chunk_bytes, shapes))
    segments = context.arena.cut(context.footprint_bytes(parameters.footprint_bytes), 1, _WORD_BYTES, step)
    checks = Checks(context, "double")
    sums = SumPlaces(context.device, len(segments), max(shape.groups or 1 for shape in shapes))
    try:
        tasks = {mix: MixTask(context, checks, segments, sums, mix, parameters.seed) for mix in MIXES}
        tasks[_TUNED_ON].fill()
        shape = tuned_shape(context, tasks[_TUNED_ON], shapes, planned.parameters)
        limit = context.point_limit_seconds(parameters.time_limit_seconds)
        measured = measure_points(context, planned, [task.point(shape) for task in tasks.values()], limit)
    finally:
        checks.release()
        sums.release()
    yield from measured
    yield from findings(measured)


class MixTask:
    """One mix over one cut of memory; every shape must state its groups."""

    access: Literal["mix"] = "mix"
    name = "mix"
    dtype = "double"

    def __init__(
        self,
        context: RunContext,
        checks: Checks,
        segments: Sequence[Segment],
        sums: SumPlaces,
        mix: tuple[int, int],
        seed: int,
    ) -> None:
        self._context = context
        self._checks = checks
        self._segments = segments
        self._sums = sums
        self._reads, self._writes = mix
        self._salt = salt_of(seed)
        # Reads come first in each segment, writes after them.
        part_bytes = segments[0].elements * _WORD_BYTES // sum(mix)
        self._part_bytes = part_bytes
        self._written_from = self._reads * part_bytes // _WORD_BYTES

    @property
    def footprint_bytes(self) -> int:
        return sum(segment.elements for segment in self._segments) * _WORD_BYTES

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        """All is payload; the stores of sums count on the bus."""
        stored = sum(launch.groups for launch in self.launches(shape)) * _WORD_BYTES if self._reads else 0
        return self.footprint_bytes, self.footprint_bytes + stored

    def program(self, shape: Shape) -> Program:
        return self._context.programs.shaped("mix", self.dtype, shape, READS=self._reads, WRITES=self._writes)

    def launches(self, shape: Shape) -> list[Launch]:
        """One pass: every part once."""
        kernel = self.program(shape).kernel("read_and_write")
        g = geometry(shape, self._part_bytes // _WORD_BYTES, _WORD_BYTES)
        read_bytes, written_bytes = self._reads * self._part_bytes, self._writes * self._part_bytes
        launches = []
        for segment, sums in zip(self._segments, self._sums.places, strict=True):
            # Of a mix that does not read or write at all, the place is not used.
            read = segment.allocation.view(0, read_bytes or written_bytes)
            written = segment.allocation.view(read_bytes, written_bytes) if written_bytes else sums
            first = segment.first + self._written_from
            arguments = (read, written, sums, g.vectors, g.rounds, first, self._salt)
            launches.append(Launch(kernel, g.groups, shape.group_size, arguments))
        return launches

    def point(self, shape: Shape) -> Point:
        axes = {"reads": self._reads, "writes": self._writes}
        return point_of(self, shape, self.poison, self.verify, axes=axes)

    def fill(self) -> None:
        kernel = self._check_program.kernel("fill")
        self._context.run(
            [
                self._checks.launch(kernel, s.arrays[0], s.elements, s.first, self._salt)
                for s in self._segments
            ]
        )

    def poison(self) -> None:
        """What is read is right and what is written is not: what another mix left here is its own."""
        self.fill()
        self._sums.clear()
        for s in self._segments:
            if self._writes:
                view = s.allocation.view(self._reads * self._part_bytes, self._writes * self._part_bytes)
                self._checks.poison(view, s.elements - self._written_from)

    def verify(self) -> VerificationResult:
        """The whole footprint, and what was summed of it."""
        arrays = [(s.arrays[0], s.elements, s.first, self._salt, 0, 0) for s in self._segments]
        elements = self._checks.elements(self._check_program, "mix", arrays)
        return combined([elements, self._checks.sums(self._expected_sum, self._sums)])

    @cached_property
    def _expected_sum(self) -> int:
        parts = [(self._written_from, s.first, self._salt, 0, 0) for s in self._segments]
        return self._checks.total(self._check_program, "mix", parts)

    @cached_property
    def _check_program(self) -> Program:
        size = self._checks.group_size
        return self._context.programs.program(
            "mix", self.dtype, group_size=size, UNROLL=1, READS=1, WRITES=1, ORDER_TILE=0
        )


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The mix that falls farthest behind what reading alone and writing alone would give."""
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
    """byte/s if each byte takes as long as in a pure stream, and turning around takes no time."""
    reads, writes = mix
    return (reads + writes) / (reads / reading + writes / writing)
