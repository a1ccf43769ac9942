"""The map: the bandwidth of each slice of free memory, and which regions are slow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpubench.benchmarks.parameters import MapParameters
from gpubench.benchmarks.registry import STREAM, StreamBenchmark
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.devices.base import Allocation
from gpubench.devices.profile import profile_of
from gpubench.measure.memory import PAGE_BYTES, Segment, releasing
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext, taken_memory, whole_memory_bytes
from gpubench.measure.series import Point
from gpubench.measure.statistics import median
from gpubench.measure.stopping import FixedCount
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bandwidth, format_bytes, format_percent, format_seconds

SLOW_RATIO = 0.9
"""Of the median slice. A slice is slow if even its best sample is below: noise affects some of the
samples of a slice, which are a round apart, and a bad region all of them."""


CACHE_MULTIPLE = 16
"""Of a slice of so many last-level caches hardly anything is left in them in the next pass, so that a sample
may be several passes in a row: at 4 TB/s a pass over half a gigabyte lasts 0.1 ms. A sample of smaller slices
is one pass. On an L40 (96 MiB) gpu-benches reads 5 % faster over 4 caches than over 13 and more."""

_FEWEST = 4
"""Slices, as few as may be asked for."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A figure for each slice, then findings on all; raises ``OutOfDeviceMemory``."""
    parameters = MapParameters(**planned.parameters)
    row = STREAM[parameters.kernel]
    wanted = whole_memory_bytes(context, planned.parameters)
    limit = parameters.time_limit_seconds or context.profile.point_time_limit_seconds
    rule = FixedCount(parameters.rounds, limit)
    with releasing(StreamWorkspace(context, planned, row)) as workspace:
        step = max(workspace.chunk_bytes, PAGE_BYTES) * row.arrays
        slices = slices_of(context.device.info, parameters.slices, wanted, step)
        largest = min(context.device.info.max_allocation_bytes or wanted, wanted // slices)
        slice_bytes = max(largest // step, 1) * step
        with taken_memory(context, max(wanted, slice_bytes), slice_bytes) as allocations:
            shape = _shape(context, workspace, row, step, allocations)
            segments = _segments(allocations, row, workspace.element_bytes, slice_bytes)[:slices]
            points = []
            for number, segment in enumerate(segments):
                context.raise_if_cancelled()
                task = workspace.task([segment])
                task.fill()
                points.append(_point(task, shape, number, len(segments)))
            cache = context.device.info.last_level_cache_bytes
            cold = not cache or slice_bytes < CACHE_MULTIPLE * cache
            measured = measure_points(context, planned, points, rule=rule, cold=cold)
    yield from measured
    yield from findings(planned.name, measured, slice_bytes, context.device.info.memory_bytes)


def findings(
    benchmark: str, measured: Sequence[Measurement], slice_bytes: int, memory_bytes: int | None
) -> Iterator[Finding]:
    """Slow regions, the slowest slice, the memory covered, and the time for all memory.

    A slice that failed its verification is in none of them.
    """
    seconds = [median(m.samples_seconds) / (m.passes_per_sample or 1) for m in measured if m.samples_seconds]
    if not seconds:
        return
    rates = [m.bandwidth_bytes_per_second for m in measured if m.bandwidth_bytes_per_second]
    usual = median([rate.median for rate in rates])
    regions = list(_slow_regions(measured, usual))
    yield Finding(
        benchmark,
        "slow_regions",
        f"{len(regions)} slow regions, in which every sample is below {format_percent(SLOW_RATIO)} of the "
        f"median slice, {format_bandwidth(usual)}",
        len(regions),
    )
    for begin, end, ratio in regions:
        yield Finding(
            benchmark,
            "slow_region",
            f"slices {begin} to {end - 1}, from {format_bytes(begin * slice_bytes)} to "
            f"{format_bytes(end * slice_bytes)} of the allocated memory, reach {format_percent(ratio)} of "
            "the median slice",
            ratio,
            "ratio",
        )
    slowest = min(rates, key=lambda rate: rate.median)
    if slowest.max < usual:
        text = (
            f"the slowest slice reaches {format_percent(slowest.median / usual)} of the median slice, its "
            f"best sample {format_percent(slowest.max / usual)}"
        )
    else:
        least = format_percent(min(rate.max for rate in rates) / usual)
        text = (
            f"no slice is measurably slower than the median one: each has a sample of {least} of it or more"
        )
    yield Finding(benchmark, "slowest_slice", text, slowest.median / usual, "ratio")
    if memory_bytes is None:
        return
    covered = slice_bytes * len(seconds)
    yield Finding(
        benchmark,
        "covered_memory",
        f"{format_bytes(covered)} of {format_bytes(memory_bytes)} were measured",
        covered / memory_bytes,
        "ratio",
    )
    sweep = sum(seconds) * memory_bytes / covered
    yield Finding(
        benchmark,
        "sweep_time",
        f"one pass over all {format_bytes(memory_bytes)} at this bandwidth: {format_seconds(sweep)}",
        sweep,
        "s",
    )


def slices_of(info: DeviceInfo, most: int, wanted_bytes: int, step_bytes: int) -> int:
    """How many slices; fewer if they would be so small that a sample could only be one short pass, and the
    timing events include the launch."""
    if not profile_of(info.kind).events_include_launch or not info.last_level_cache_bytes:
        return most
    least_bytes = CACHE_MULTIPLE * info.last_level_cache_bytes + step_bytes  # and then cut to whole steps
    return min(most, max(_FEWEST, wanted_bytes // least_bytes))


def _slow_regions(measured: Sequence[Measurement], usual: float) -> Iterator[tuple[int, int, float]]:
    """First slice, the one after the last, and the median share of ``usual``, of each row of slow slices."""
    row: list[float] = []
    for number, each in enumerate([*measured, None]):
        figure = each.bandwidth_bytes_per_second if each else None
        if figure and figure.max < SLOW_RATIO * usual:
            row.append(figure.median)
        elif row:
            yield number - len(row), number, median(row) / usual
            row = []


def _segments(
    allocations: Sequence[Allocation], row: StreamBenchmark, element_bytes: int, nbytes: int
) -> list[Segment]:
    """Pieces of ``nbytes`` with all arrays of a benchmark in each; the rest of an allocation is not used."""
    starts = [(each, at) for each in allocations for at in range(0, each.nbytes - nbytes + 1, nbytes)]
    array_bytes = nbytes // row.arrays
    elements = array_bytes // element_bytes
    return [
        Segment(
            arrays=tuple(each.view(at + k * array_bytes, array_bytes) for k in range(row.arrays)),
            elements=elements,
            first=number * elements,
            allocation=each,
        )
        for number, (each, at) in enumerate(starts)
    ]


def _shape(
    context: RunContext,
    workspace: StreamWorkspace,
    row: StreamBenchmark,
    step_bytes: int,
    allocations: Sequence[Allocation],
) -> Shape:
    """Tuned on as much of the allocated memory as keeps caches out, in long pieces."""
    needed = context.footprint_bytes(None)
    piece = min(needed, *(each.nbytes for each in allocations)) // step_bytes * step_bytes
    segments = _segments(allocations, row, workspace.element_bytes, piece)[: -(-needed // piece)]
    task = workspace.task(segments)
    if len(workspace.shapes) > 1:
        task.fill()
    return workspace.tuned_shape(task)


def _point(task: StreamTask, shape: Shape, number: int, slices: int) -> Point:
    """A slice; what keeps caches out of a small one is the round over all of them."""
    point = task.point(shape)
    offset_bytes = number * task.footprint_bytes
    return replace(
        point,
        axes={"slice": number},
        places={"offset_bytes": offset_bytes},
        footprint_bytes=slices * task.footprint_bytes,
    )
