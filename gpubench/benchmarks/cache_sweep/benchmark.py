"""Bandwidth over footprint: that of each cache, and its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

from gpubench.benchmarks.cache_sweep.task import SweepTask, sweep_shape
from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.measure.levels import CurvePoint, known_caches, ladder, level_findings
from gpubench.measure.memory import PAGE_BYTES, Segment, releasing
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.verification.arrays import ArrayVerifier, salt_of
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bandwidth

Kernel = Literal["read", "copy"]
KERNELS: tuple[Kernel, ...] = ("read", "copy")

LEAST_BYTES = 16384
CACHE_MULTIPLE = 2
"""Up to this multiple of the last-level cache, groups pass many times in a launch; beyond, once."""
UNKNOWN_CACHE_BYTES = 128 << 20

MIN_LEVEL_RATIO = 1.25
"""Of bandwidths: the L2 of a GPU with stacked memory may have only 1.4 times the bandwidth of the memory. The
translation of addresses costs latency alone."""

STREAM_LIMIT_SECONDS = 0.2
"""For each point beyond the caches."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """For each kernel the curve, and then its levels."""
    kernel = planned.parameters["kernel"]
    kernels: Sequence[Kernel] = (kernel,) if kernel else KERNELS
    for number, kernel in enumerate(kernels):
        curve = []
        for each in _curve(context, planned, kernel, (2 * number, 2 * len(kernels))):
            yield each
            if (bandwidth := each.bandwidth_bytes_per_second) and each.footprint_bytes:
                curve.append(CurvePoint(each.footprint_bytes, 1 / bandwidth.p95, 1 / bandwidth.median))
        yield from findings(context.device.info, planned.name, kernel, curve)


def findings(
    info: DeviceInfo, benchmark: str, kernel: Kernel, curve: Sequence[CurvePoint]
) -> Iterator[Finding]:
    """The levels of a kernel's curve; costs are seconds for a byte."""
    known = known_caches(info, together=True, only_reads=kernel == "read")
    cache_bytes = info.last_level_cache_bytes
    return level_findings(benchmark, kernel, curve, known, cache_bytes, _figure, MIN_LEVEL_RATIO)


def _curve(
    context: RunContext, planned: PlannedBenchmark, kernel: Kernel, part: tuple[int, int]
) -> Iterator[Measurement]:
    context.progress.part(*part)
    with ExitStack() as stack:
        workspace = stack.enter_context(releasing(StreamWorkspace(context, planned, STREAM[kernel])))
        whole = workspace.filled_task()
        shape = workspace.tuned_shape(whole)
        cached = CACHE_MULTIPLE * _cache_bytes(context)
        most_bytes = min(cached, whole.footprint_bytes - 1)
        segment, salt = whole.segments[0], salt_of(planned.parameters["seed"])
        array_bytes = segment.elements * workspace.element_bytes
        points = _sweep_points(context, stack, kernel, segment, array_bytes, most_bytes, shape, salt)
        limit = context.profile.sweep_point_limit_seconds
        yield from measure_points(context, planned, points, limit, warm=True)

        context.progress.part(part[0] + 1, part[1])
        whole.fill()  # the sweep has filled it with words
        tasks = [whole]
        for size in reversed(ladder(cached + 1, whole.footprint_bytes - 1)):
            step = max(workspace.chunk_bytes, PAGE_BYTES)
            if segments := _prefix(whole.segments, workspace.element_bytes, size, step):
                tasks.append(workspace.task(segments))
        points = [_stream_point(kernel, task, shape) for task in reversed(tasks)]
        yield from measure_points(context, planned, points, STREAM_LIMIT_SECONDS, warm=True)


def _sweep_points(
    context: RunContext,
    stack: ExitStack,
    kernel: Kernel,
    segment: Segment,
    array_bytes: int,
    most_bytes: int,
    tuned: Shape,
    salt: int,
) -> list[Point]:
    """Each over the first bytes of the arrays."""
    verifier = stack.enter_context(releasing(ArrayVerifier(context, "double")))
    verifier.fill(segment.arrays[0], min(most_bytes, array_bytes) // 8, 0, salt)
    points = []
    for size in ladder(LEAST_BYTES, min(most_bytes, array_bytes * len(segment.arrays))):
        # Streaming stores bypass the caches, which are to be measured as long as the footprint fits.
        streaming = tuned.streaming_stores and size > _cache_bytes(context)
        shape = sweep_shape(context, tuned, streaming)
        task = SweepTask(context, verifier, kernel, segment.arrays, size, shape, salt)
        stack.enter_context(releasing(task))
        if task.footprint_bytes:
            task.calibrate()
            points.append(_sweep_point(kernel, task))
    return points


def _cache_bytes(context: RunContext) -> int:
    return context.device.info.last_level_cache_bytes or UNKNOWN_CACHE_BYTES


def _sweep_point(kernel: Kernel, task: SweepTask) -> Point:
    return Point(
        operations=[task.launch()],
        payload_bytes=task.pass_bytes() // (2 if kernel == "copy" else 1),
        bus_bytes=task.pass_bytes(),
        footprint_bytes=task.footprint_bytes,
        poison=task.poison,
        verify=task.verify,
        axes={"kernel": kernel, "footprint_bytes": task.footprint_bytes},
        shape=task.shape,
        caches_wanted=True,
    )


def _stream_point(kernel: Kernel, task: StreamTask, shape: Shape) -> Point:
    axes = {"kernel": kernel, "footprint_bytes": task.footprint_bytes}
    return replace(task.point(shape), axes=axes, caches_wanted=True)


def _prefix(
    segments: Sequence[Segment], element_bytes: int, footprint_bytes: int, step_bytes: int
) -> list[Segment]:
    """The first bytes of all segments; they hold the same data in each cut."""
    arrays = range(len(segments[0].arrays))
    nbytes = footprint_bytes // (len(segments) * len(arrays)) // step_bytes * step_bytes
    if not nbytes:
        return []
    return [
        replace(
            segment,
            arrays=tuple(
                segment.allocation.view(k * segment.elements * element_bytes, nbytes) for k in arrays
            ),
            elements=nbytes // element_bytes,
        )
        for segment in segments
    ]


def _figure(seconds_per_byte: float) -> tuple[float, str, str]:
    return 1 / seconds_per_byte, "byte/s", format_bandwidth(1 / seconds_per_byte)
