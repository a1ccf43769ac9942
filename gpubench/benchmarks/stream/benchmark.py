"""The stream family: a pass over whole arrays, in the access shape that the memory likes best."""

from __future__ import annotations

from collections.abc import Iterator

from gpubench.benchmarks.parameters import StreamParameters
from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import candidates, chunk_bytes
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Measurement, Shape


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement]:
    """One figure; raises ``InvalidParameters`` where the shape or footprint asked for cannot be."""
    row = STREAM[planned.name]
    parameters = StreamParameters(**planned.parameters)
    shapes = candidates(context.device.info, row.access, parameters.dtype, planned.parameters)
    segments = context.arena.cut(
        context.footprint_bytes(parameters.footprint_bytes),
        row.arrays,
        ELEMENT_BYTES[parameters.dtype],
        max(map(chunk_bytes, shapes)),
    )
    task = StreamTask(context.device, context.programs, row, parameters.dtype, segments, parameters.seed)
    try:
        task.fill()
        shape = tuned_shape(context, task, shapes, planned.parameters)
        limit = parameters.time_limit_seconds or context.profile.time_limit_seconds
        yield from measure_points(context, planned, [stream_point(task, shape)], limit)
    finally:
        task.release()


def stream_point(task: StreamTask, shape: Shape) -> Point:
    """A whole pass of a task, checked whole."""
    return point_of(task, shape, lambda: task.poison(shape), lambda: task.verify(shape))
