"""Reading with strides and from misaligned starts: the piece that a memory moves at least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gpubench.benchmarks.parameters import Parameters
from gpubench.devices.base import Launch, Program
from gpubench.measure.memory import Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import SECTOR_BYTES, chunk_bytes, geometry
from gpubench.measure.statistics import summarize
from gpubench.measure.verification.arrays import Checks, SumPlaces, salt_of
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape, Summary
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_percent

STRIDES = (1, 2, 4, 8, 16, 32, 64)
OFFSETS = tuple(range(8))
"""In elements, at stride 1."""

ELEMENT_BYTES = 4

_SLACK = max(OFFSETS)
_HALVED_RATIO = 0.75
"""Below this, a doubled stride has halved the payload's bandwidth rather than left it as it was."""
_NOTABLE_COST_RATIO = 0.02
"""A smaller cost of a misaligned start is not worth a figure."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each stride, and for each misaligned start."""
    parameters = Parameters(**planned.parameters)
    shape = shape_for(context.device.info)
    segments = context.arena.cut(
        context.footprint_bytes(parameters.footprint_bytes),
        1,
        ELEMENT_BYTES,
        max(STRIDES) * chunk_bytes(shape),
    )
    checks = Checks(context, "float")
    places = [(stride, 0) for stride in STRIDES] + [(1, offset) for offset in OFFSETS if offset]
    launches = max(phases(stride, SECTOR_BYTES[context.device.info.kind]) for stride in STRIDES) * len(
        segments
    )
    sums = SumPlaces(context.device, launches, shape.groups or 1)
    try:
        salt = salt_of(parameters.seed)
        for segment in segments:
            checks.fill(segment.arrays[0], segment.elements, segment.first, salt)
        tasks = [StridedTask(context, checks, segments, sums, shape, *place, salt) for place in places]
        limit = context.point_limit_seconds(parameters.time_limit_seconds)
        measured = measure_points(context, planned, [task.point() for task in tasks], limit, cold=True)
    finally:
        checks.release()
        sums.release()
    yield from measured
    yield from findings(measured)


def shape_for(info: DeviceInfo) -> Shape:
    """Elements are loaded one by one, and many of them at once."""
    units = info.compute_units or 1
    if info.kind == "cpu":
        return Shape(ELEMENT_BYTES, 64, 1, "tile", False, 8 * units)
    return Shape(ELEMENT_BYTES, 16, 256, "grid", False, 8 * units)


def phases(stride: int, sector_bytes: int) -> int:
    """Walks through memory until every sector of it was touched once."""
    return max(1, stride * ELEMENT_BYTES // sector_bytes)


@dataclass(frozen=True)
class _Walk:
    """``elements`` from ``start`` on, each a stride from the one before."""

    segment: Segment
    start: int
    elements: int


class StridedTask:
    """One stride from one start.

    A pass touches every sector once: with long strides it walks through all of the memory several
    times, a sector farther each time, so that no sector is wanted again while a cache still has it.
    """

    def __init__(
        self,
        context: RunContext,
        checks: Checks,
        segments: Sequence[Segment],
        sums: SumPlaces,
        shape: Shape,
        stride: int,
        offset: int,
        salt: int,
    ) -> None:
        self._context = context
        self._checks = checks
        self._sums = sums
        self._shape = shape
        self._stride = stride
        self._offset = offset
        self._salt = salt
        self._sector_bytes = SECTOR_BYTES[context.device.info.kind]
        self._footprint_bytes = sum(segment.elements for segment in segments) * ELEMENT_BYTES
        chunk = shape.unroll * shape.group_size
        self._walks = [
            _Walk(
                segment, offset + phase * self._sector_bytes // ELEMENT_BYTES, self._elements(segment, chunk)
            )
            for segment in segments
            for phase in range(phases(stride, self._sector_bytes))
        ]

    def _elements(self, segment: Segment, chunk: int) -> int:
        """In whole chunks; as many for every start, whether it is aligned or not."""
        room = segment.elements - (_SLACK if self._stride == 1 else 0)
        return room // self._stride // chunk * chunk

    def point(self) -> Point:
        return Point(
            operations=self._launches(),
            payload_bytes=sum(walk.elements for walk in self._walks) * ELEMENT_BYTES,
            bus_bytes=sum(self._sectors(walk) for walk in self._walks) * self._sector_bytes,
            footprint_bytes=self._footprint_bytes,
            poison=self._sums.clear,
            verify=self._check,
            axes={"stride_elements": self._stride, "offset_elements": self._offset},
            shape=self._shape,
        )

    def _launches(self) -> list[Launch]:
        kernel = self._program.kernel("strided_read")
        launches = []
        for walk, sums in zip(self._walks, self._sums.places, strict=False):
            g = geometry(self._shape, walk.elements, ELEMENT_BYTES)
            arguments = (walk.segment.arrays[0], sums, walk.start, g.vectors, g.rounds)
            launches.append(Launch(kernel, g.groups, self._shape.group_size, arguments))
        return launches

    def _sectors(self, walk: _Walk) -> int:
        if self._stride * ELEMENT_BYTES >= self._sector_bytes:
            return walk.elements
        first = walk.start * ELEMENT_BYTES // self._sector_bytes
        last = (walk.start + (walk.elements - 1) * self._stride) * ELEMENT_BYTES // self._sector_bytes
        return last - first + 1

    def _check(self) -> VerificationResult:
        return self._checks.sums(self._expected_sum, self._sums)

    @cached_property
    def _expected_sum(self) -> int:
        parts = [
            (walk.elements, walk.segment.first + walk.start, self._stride, self._salt, 0)
            for walk in self._walks
        ]
        return self._checks.total(self._program, "strided", parts)

    @cached_property
    def _program(self) -> Program:
        return self._context.programs.shaped("strided", "float", self._shape, STRIDE=self._stride)


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The access granularity, and what a misaligned start costs."""
    payload = {
        (int(m.axes["stride_elements"]), int(m.axes["offset_elements"])): rate
        for m in measured
        if m.status == "ok" and (rate := summarize(m.samples_seconds).bandwidth(m.payload_bytes or 0))
    }
    strides = [payload[stride, 0] for stride in STRIDES if (stride, 0) in payload]
    if len(strides) == len(STRIDES):
        yield _granularity(strides)
    misaligned = [payload[1, offset] for offset in OFFSETS[1:] if (1, offset) in payload]
    if misaligned and (1, 0) in payload:
        yield _misalignment(payload[1, 0], misaligned)


def _granularity(rates: Sequence[Summary]) -> Finding:
    """The stride whose doubling no longer halves the payload's bandwidth: the least that memory moves."""
    reached = len(STRIDES) - 1
    while reached and rates[reached].low > _HALVED_RATIO * rates[reached - 1].high:
        reached -= 1
    nbytes = STRIDES[reached] * ELEMENT_BYTES
    halved = not reached or rates[reached].high < _HALVED_RATIO * rates[reached - 1].low
    if not halved:
        text = (
            "no measurable access granularity: the noise hides whether the payload's bandwidth halves from a "
            f"stride of {nbytes // 2} B to one of {nbytes} B"
        )
    elif reached == len(STRIDES) - 1:
        text = (
            f"the payload's bandwidth still halves at the longest stride, {nbytes} B: memory moves at least "
            "as much at once"
        )
    else:
        text = (
            f"the payload's bandwidth halves with each doubling of the stride up to {nbytes} B and no "
            f"further: memory moves at least {nbytes} B at once"
        )
        return Finding("strided", "access_granularity", text, nbytes, "byte")
    return Finding("strided", "access_granularity", text, None, "byte")


def _misalignment(aligned: Summary, misaligned: Sequence[Summary]) -> Finding:
    """Of the worst start; if the noise hides it, the most that any start may cost, and no value."""
    worst = min(misaligned, key=lambda rate: rate.median)
    cost = 1 - worst.median / aligned.median
    at_most = 1 - min(rate.low for rate in misaligned) / aligned.high
    measurable = worst.high < aligned.low
    start = f"a start off by 1 to {_SLACK} elements"
    if at_most < _NOTABLE_COST_RATIO:
        text = f"{start} costs less than {format_percent(_NOTABLE_COST_RATIO)} of the payload's bandwidth"
    elif measurable and cost >= _NOTABLE_COST_RATIO:
        text = f"{start} costs up to {format_percent(cost)} of the payload's bandwidth"
    else:
        measurable = False
        text = f"no measurable cost of {start} (at most {format_percent(at_most)})"
    return Finding("strided", "misalignment_cost", text, cost if measurable else None, "ratio")
