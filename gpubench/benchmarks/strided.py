"""Reading with strides and from misaligned starts: the smallest piece that a memory moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from gpubench.benchmarks.data_array import DataArray, data_array
from gpubench.devices.base import Launch, Program
from gpubench.devices.profile import profile_of
from gpubench.measure.memory import Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import chunk_bytes, geometry, untuned_shape
from gpubench.measure.statistics import summarize
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
"""Below this ratio, a doubled stride has halved the payload's bandwidth rather than left it unchanged."""
_NOTABLE_COST_RATIO = 0.02
"""A smaller cost of a misaligned start is not worth a figure."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each stride, and for each misaligned start."""
    shape = shape_for(context.device.info)
    with data_array(
        context,
        planned,
        "float",
        max(STRIDES) * chunk_bytes(shape),
        groups=shape.groups or 1,
        launches_per_segment=max(phases(stride, context.profile.sector_bytes) for stride in STRIDES),
    ) as array:
        for segment in array.segments:
            array.verifier.fill(segment.arrays[0], segment.elements, segment.first, array.salt)
        starts = [(stride, 0) for stride in STRIDES] + [(1, offset) for offset in OFFSETS if offset]
        points = [StridedTask(array, shape, *start).point() for start in starts]
        measured = measure_points(context, planned, points, cold=True)
    yield from measured
    yield from findings(measured)


def shape_for(info: DeviceInfo) -> Shape:
    return untuned_shape(info, profile_of(info.kind).strided_shape)


def phases(stride: int, sector_bytes: int) -> int:
    """How many walks through memory touch every sector of it once."""
    return max(1, stride * ELEMENT_BYTES // sector_bytes)


@dataclass(frozen=True)
class _Walk:
    """``elements`` from ``start`` on, each a stride from the one before."""

    segment: Segment
    start: int
    elements: int


@dataclass
class StridedTask:
    """One stride from one start, ``offset`` elements into each segment.

    A pass touches every sector once: with long strides it walks through all of the memory several
    times, a sector farther each time, so that no sector is needed again while a cache still has it.
    """

    array: DataArray
    shape: Shape
    stride: int
    offset: int

    def point(self) -> Point:
        return Point(
            operations=self._launches(),
            payload_bytes=sum(walk.elements for walk in self._walks) * ELEMENT_BYTES,
            bus_bytes=sum(self._sectors(walk) for walk in self._walks) * self._sector_bytes,
            footprint_bytes=self.array.nbytes,
            poison=self.array.sums.clear,
            verify=lambda: self.array.verifier.verify_sums(self._expected_sum, self.array.sums),
            axes={"stride_elements": self.stride, "offset_elements": self.offset},
            shape=self.shape,
        )

    @property
    def _sector_bytes(self) -> int:
        return self.array.context.profile.sector_bytes

    @cached_property
    def _walks(self) -> list[_Walk]:
        return [
            _Walk(segment, self.offset + phase * self._sector_bytes // ELEMENT_BYTES, self._elements(segment))
            for segment in self.array.segments
            for phase in range(phases(self.stride, self._sector_bytes))
        ]

    def _elements(self, segment: Segment) -> int:
        """In whole chunks; as many for every start, whether it is aligned or not."""
        room = segment.elements - (_SLACK if self.stride == 1 else 0)
        chunk = self.shape.unroll * self.shape.group_size
        return room // self.stride // chunk * chunk

    def _launches(self) -> list[Launch]:
        kernel = self._program.kernel("strided_read")
        launches = []
        for walk, sums in zip(self._walks, self.array.sums.buffers, strict=False):
            g = geometry(self.shape, walk.elements, ELEMENT_BYTES)
            arguments = (walk.segment.arrays[0], sums, walk.start, g.vectors, g.rounds)
            launches.append(Launch(kernel, g.groups, self.shape.group_size, arguments))
        return launches

    def _sectors(self, walk: _Walk) -> int:
        if self.stride * ELEMENT_BYTES >= self._sector_bytes:
            return walk.elements
        first = walk.start * ELEMENT_BYTES // self._sector_bytes
        last = (walk.start + (walk.elements - 1) * self.stride) * ELEMENT_BYTES // self._sector_bytes
        return last - first + 1

    @cached_property
    def _expected_sum(self) -> int:
        parts = [
            (walk.elements, walk.segment.first + walk.start, self.stride, self.array.salt, 0)
            for walk in self._walks
        ]
        return self.array.verifier.expected_sum(self._program, "strided", parts)

    @cached_property
    def _program(self) -> Program:
        return self.array.context.programs.shaped("strided", "float", self.shape, STRIDE=self.stride)


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The access granularity, and the cost of a misaligned start."""
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
    """The stride whose doubling no longer halves the payload's bandwidth: memory moves at least that much.

    That is the first end of a series of halvings. Before it the loads themselves may limit; and beyond it
    bandwidth may fall again, as on an H100 and an H200 from 128 B to 256 B, where 64 B are moved at once.
    """
    doublings = list(pairwise(rates))
    halves = [longer.high < _HALVED_RATIO * shorter.low for shorter, longer in doublings]
    keeps = [longer.low > _HALVED_RATIO * shorter.high for shorter, longer in doublings]
    first = next((index for index, kept in enumerate(keeps) if not kept), 0)
    reached = next((index for index in range(first, len(halves)) if not halves[index]), len(halves))
    certain = reached == len(halves) or keeps[reached]
    nbytes = STRIDES[reached] * ELEMENT_BYTES
    if not certain:
        text = (
            "no measurable access granularity: the noise hides whether the payload's bandwidth halves from a "
            f"stride of {nbytes} B to one of {2 * nbytes} B"
        )
    elif reached == len(STRIDES) - 1:
        text = (
            f"the payload's bandwidth still halves at the longest stride, {nbytes} B: memory moves at least "
            "as much at once"
        )
    else:
        text = (
            f"the payload's bandwidth halves with each doubling of the stride up to {nbytes} B, and not from "
            f"there to {2 * nbytes} B: memory moves at least {nbytes} B at once"
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
