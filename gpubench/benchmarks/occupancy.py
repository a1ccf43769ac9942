"""The occupancy family: bandwidth over the number of groups that are launched, from one on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property

import msgspec

from gpubench.benchmarks.parameters import OccupancyParameters
from gpubench.benchmarks.registry import STREAM, StreamBenchmark
from gpubench.benchmarks.stream.benchmark import stream_point
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.measure.memory import Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.measure.tuning import tuned_shape
from gpubench.measure.verification.arrays import Checks, salt_of
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Mismatch, Shape, Summary
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bandwidth, format_bytes

KERNELS = ("read", "copy")
ENOUGH_RATIO = 0.95
THREADS_PER_UNIT = {"cpu": 1, "gpu": 2048, "accelerator": 2048}
"""At most; a processor's core has one group of one."""

MAX_PASS_SECONDS = 0.25
"""Of one group alone: a cancel is heard between passes."""

_PROBED_PART = 16
_MAX_DOUBLINGS = 5


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A curve for each kernel, and what it takes to come near its highest point."""
    parameters = OccupancyParameters(**planned.parameters)
    kernels = (parameters.kernel,) if parameters.kernel else KERNELS
    for number, kernel in enumerate(kernels):
        context.progress.part(number, len(kernels))
        measured = _curve(context, planned, parameters, STREAM[kernel])
        yield from measured
        yield from findings(planned.name, kernel, measured, resident_threads(context.device.info))


def group_counts(compute_units: int, most: int) -> list[int]:
    """Halves of the compute units down to 1, doubles up to 32 times as many, and ``most``; none above."""
    halves = {compute_units >> k for k in range(compute_units.bit_length())}
    doubles = {compute_units << k for k in range(_MAX_DOUBLINGS + 1)}
    return sorted({count for count in halves | doubles if count < most} | {most})


def resident_threads(info: DeviceInfo) -> int:
    """The most that can run at once, and fewer do where a kernel takes many registers: what is launched
    beyond waits, and has nothing in flight."""
    return (info.compute_units or 1) * THREADS_PER_UNIT[info.kind]


def findings(
    benchmark: str, kernel: str, measured: Sequence[Measurement], most_threads: int
) -> Iterator[Finding]:
    """The fewest groups that may reach 95 % of the highest bandwidth: fewer surely do not."""
    curve = [
        (int(each.axes["groups"]), each.bandwidth_bytes_per_second, each.shape)
        for each in measured
        if each.bandwidth_bytes_per_second and each.shape
    ]
    if not curve:
        return
    # However noisy the points are, the highest of them has at least the best of the lower ends.
    surely = max(rate.low for _, rate, _ in curve)
    enough = ((n, r, shape) for n, r, shape in sorted(curve, key=_groups) if r.high >= ENOUGH_RATIO * surely)
    groups, rate, shape = next(enough)
    threads, percent = f"{groups} x {shape.group_size} threads", f"{100 * ENOUGH_RATIO:.0f} %"
    highest = max((rate for _, rate, _ in curve), key=lambda rate: rate.median)
    if rate.low >= ENOUGH_RATIO * max(each.high for _, each, _ in curve):
        figures = (
            f"{format_bandwidth(rate.median)} with {threads} is {percent} or more of the highest, "
            f"{format_bandwidth(highest.median)}"
        )
    else:
        figures = (
            f"{threads} are the fewest with no measurable loss against {percent} of the highest: "
            f"{_interval(rate)} against {_interval(highest)}"
        )
    in_flight = min(groups * shape.group_size, most_threads) * shape.vector_bytes * shape.unroll
    text = (
        f"{kernel}: {figures}; each thread has {format_bytes(shape.vector_bytes * shape.unroll)} in flight, "
        f"all that run at once have at most {format_bytes(in_flight)}"
    )
    yield Finding(benchmark, f"enough_groups_{kernel}", text, groups, "groups")


def _groups(point: tuple[int, Summary, Shape]) -> int:
    return point[0]


def _interval(rate: Summary) -> str:
    return f"{format_bandwidth(rate.low)} to {format_bandwidth(rate.high)}"


def _curve(
    context: RunContext, planned: PlannedBenchmark, parameters: OccupancyParameters, row: StreamBenchmark
) -> list[Measurement]:
    dtype, element_bytes = parameters.dtype, ELEMENT_BYTES[parameters.dtype]
    shapes = candidates(context.device.info, row.access, dtype, planned.parameters)
    footprint_bytes = context.footprint_bytes(parameters.footprint_bytes)
    limit = parameters.time_limit_seconds or context.point_limit_seconds() / 2
    with ExitStack() as held:

        def task_over(footprint_bytes: int) -> tuple[StreamTask, list[Segment]]:
            segments = context.arena.cut(
                footprint_bytes, row.arrays, element_bytes, max(map(chunk_bytes, shapes))
            )
            task = StreamTask(context.device, context.programs, row, dtype, segments, parameters.seed)
            held.callback(task.release)
            task.fill()
            return task, segments

        task, segments = task_over(footprint_bytes)
        shape = tuned_shape(context, task, shapes, planned.parameters)
        seconds = _seconds_of_one_group(context, row, segments, shape, parameters)
        if seconds > MAX_PASS_SECONDS:
            task, segments = task_over(int(footprint_bytes * MAX_PASS_SECONDS / seconds))
        checks = Checks(context, dtype)
        held.callback(checks.release)
        totals = Totals(context, checks, task, segments, parameters.seed)
        most = min(geometry(shape, each.elements, element_bytes).groups for each in segments)
        counts = group_counts(context.device.info.compute_units or 1, most)
        # The most groups first: they need the largest place for sums, of which the others take a part.
        points = [_point(task, totals, shape, groups) for groups in reversed(counts)]
        return measure_points(context, planned, points[::-1], limit)


class Totals:
    """Checks reads by what all groups summed together.

    A check of each group's own sum takes as long as its group alone would; of a few groups that is
    seconds, in which no cancel would be heard.
    """

    def __init__(
        self, context: RunContext, checks: Checks, task: StreamTask, segments: Sequence[Segment], seed: int
    ) -> None:
        self._context, self._checks, self._task, self._seed = context, checks, task, seed
        self._segments = segments

    @cached_property
    def _expected(self) -> int:
        program = self._context.programs.verify(self._task.dtype, self._checks.group_size)
        salt = salt_of(self._seed)
        return self._checks.total(
            program, "words", [(each.elements, each.first, salt, 0, 0) for each in self._segments]
        )

    def verify(self, shape: Shape) -> VerificationResult:
        actual = self._task.summed(shape)
        if actual == self._expected:
            return VerificationResult(0, [], "sums")
        return VerificationResult(1, [Mismatch(0, f"{self._expected:#x}", f"{actual:#x}")], "sums")

    def suits(self, groups: int) -> bool:
        return self._task.name == "read" and groups < (self._context.device.info.compute_units or 1)


def _point(task: StreamTask, totals: Totals, shape: Shape, groups: int) -> Point:
    narrow = msgspec.structs.replace(shape, groups=groups)
    point = dataclasses.replace(
        stream_point(task, narrow),
        axes={"kernel": task.name, "groups": groups, "threads": groups * shape.group_size},
    )
    if totals.suits(groups):
        return dataclasses.replace(point, verify=lambda: totals.verify(narrow))
    return point


def _seconds_of_one_group(
    context: RunContext,
    row: StreamBenchmark,
    segments: Sequence[Segment],
    shape: Shape,
    parameters: OccupancyParameters,
) -> float:
    """Of a pass, as a part of it tells."""
    chunk_elements = chunk_bytes(shape) // ELEMENT_BYTES[parameters.dtype]
    chunks = max(segments[0].elements // chunk_elements // _PROBED_PART, 1)
    part = dataclasses.replace(segments[0], elements=chunks * chunk_elements)
    probe = StreamTask(context.device, context.programs, row, parameters.dtype, [part], parameters.seed)
    try:
        launches = probe.launches(msgspec.structs.replace(shape, groups=1))
        context.run(launches)
        return context.run(launches) * sum(each.elements for each in segments) / part.elements
    finally:
        probe.release()
