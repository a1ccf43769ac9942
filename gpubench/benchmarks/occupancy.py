"""The occupancy family: bandwidth over the number of groups that are launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property

import msgspec

from gpubench.benchmarks.registry import STREAM, StreamBenchmark
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.devices.profile import profile_of
from gpubench.measure.memory import releasing
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import chunk_bytes, geometry
from gpubench.measure.verification.arrays import ArrayVerifier, salt_of
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Mismatch, Shape, Summary
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bandwidth, format_bytes

KERNELS = ("read", "copy")
ENOUGH_RATIO = 0.95

MAX_PASS_SECONDS = 0.25
"""Of one group alone: a run can be cancelled between passes."""

_PROBED_PART = 16
_MAX_DOUBLINGS = 5


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A curve for each kernel, and the groups that it takes to come near its highest point."""
    kernel = planned.parameters["kernel"]
    kernels = (kernel,) if kernel else KERNELS
    for number, kernel in enumerate(kernels):
        context.progress.part(number, len(kernels))
        measured = _curve(context, planned, STREAM[kernel])
        yield from measured
        yield from findings(planned.name, kernel, measured, resident_threads(context.device.info))


def group_counts(compute_units: int, most: int) -> list[int]:
    """Halves of the compute units down to 1, doubles up to 32 times as many, and ``most``; none above."""
    halves = {compute_units >> k for k in range(compute_units.bit_length())}
    doubles = {compute_units << k for k in range(_MAX_DOUBLINGS + 1)}
    return sorted({count for count in halves | doubles if count < most} | {most})


def resident_threads(info: DeviceInfo) -> int:
    """The most that can run at once; fewer do if a kernel takes many registers. Those launched beyond
    wait, without an access in flight."""
    return (info.compute_units or 1) * profile_of(info.kind).threads_per_unit


def findings(
    benchmark: str, kernel: str, measured: Sequence[Measurement], most_threads: int
) -> Iterator[Finding]:
    """The fewest groups that may reach 95 % of the highest bandwidth: with fewer it is surely lower."""
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


def _curve(context: RunContext, planned: PlannedBenchmark, row: StreamBenchmark) -> list[Measurement]:
    with (
        releasing(StreamWorkspace(context, planned, row)) as workspace,
        releasing(ArrayVerifier(context, workspace.dtype)) as verifier,
    ):
        task = workspace.filled_task()
        shape = workspace.tuned_shape(task)
        seconds = _seconds_of_one_group(context, workspace, task, shape)
        if seconds > MAX_PASS_SECONDS:
            footprint_bytes = context.footprint_bytes(planned.parameters["footprint_bytes"])
            task = workspace.filled_task(int(footprint_bytes * MAX_PASS_SECONDS / seconds))
        sum_verifier = SumVerifier(context, verifier, task, salt_of(planned.parameters["seed"]))
        most = min(geometry(shape, each.elements, workspace.element_bytes).groups for each in task.segments)
        counts = group_counts(context.device.info.compute_units or 1, most)
        # The most groups first: they need the largest buffers for sums, of which the others take a part.
        points = [_point(task, sum_verifier, shape, groups) for groups in reversed(counts)]
        limit = context.profile.point_time_limit_seconds / 2
        return measure_points(context, planned, points[::-1], limit)


class SumVerifier:
    """Verifies reads by the sum over all groups.

    To verify the sum of each group takes as long as that group alone would; of a few groups that is
    seconds, in which the run could not be cancelled.
    """

    def __init__(self, context: RunContext, verifier: ArrayVerifier, task: StreamTask, salt: int) -> None:
        self._context, self._verifier, self._task, self._salt = context, verifier, task, salt

    @cached_property
    def _expected(self) -> int:
        program = self._context.programs.verify(self._task.dtype, self._verifier.group_size)
        parts = [(each.elements, each.first, self._salt, 0, 0) for each in self._task.segments]
        return self._verifier.expected_sum(program, "words", parts)

    def verify(self, shape: Shape) -> VerificationResult:
        actual = self._task.sum_of_groups(shape)
        if actual == self._expected:
            return VerificationResult(0, [], "sums")
        return VerificationResult(1, [Mismatch(0, f"{self._expected:#x}", f"{actual:#x}")], "sums")

    def suits(self, groups: int) -> bool:
        return self._task.name == "read" and groups < (self._context.device.info.compute_units or 1)


def _point(task: StreamTask, sum_verifier: SumVerifier, shape: Shape, groups: int) -> Point:
    narrow = msgspec.structs.replace(shape, groups=groups)
    point = dataclasses.replace(
        task.point(narrow),
        axes={"kernel": task.name, "groups": groups, "threads": groups * shape.group_size},
    )
    if sum_verifier.suits(groups):
        return dataclasses.replace(point, verify=lambda: sum_verifier.verify(narrow))
    return point


def _seconds_of_one_group(
    context: RunContext, workspace: StreamWorkspace, task: StreamTask, shape: Shape
) -> float:
    """Of a whole pass, estimated from a part of it."""
    first = task.segments[0]
    chunk_elements = chunk_bytes(shape) // workspace.element_bytes
    chunks = max(first.elements // chunk_elements // _PROBED_PART, 1)
    part = dataclasses.replace(first, elements=chunks * chunk_elements)
    launches = workspace.task([part]).launches(msgspec.structs.replace(shape, groups=1))
    context.run(launches)
    return context.run(launches) * sum(each.elements for each in task.segments) / part.elements
