"""The stream family: a pass over whole arrays, in the access shape that the memory likes best."""

from __future__ import annotations

from collections.abc import Iterator

from gpubench.benchmarks.parameters import StreamParameters
from gpubench.benchmarks.stream_task import StreamTask
from gpubench.benchmarks.table import STREAM
from gpubench.measure.points import measure_points
from gpubench.measure.series import Point
from gpubench.measure.shapes import ELEMENT_BYTES, candidates, chunk_bytes
from gpubench.measure.tuning import point_of, tuned_shape
from gpubench.measure.workbench import TIME_LIMIT_SECONDS, Workbench
from gpubench.results.document import Measurement, Shape
from gpubench.worker.messages import PlannedBenchmark


def measure(bench: Workbench, planned: PlannedBenchmark) -> Iterator[Measurement]:
    """One figure; raises ``InvalidParameters`` where the shape or footprint asked for cannot be."""
    row = STREAM[planned.name]
    parameters = StreamParameters(**planned.parameters)
    shapes = candidates(bench.device.info, row.access, parameters.dtype, planned.parameters)
    segments = bench.arena.cut(
        bench.footprint_bytes(parameters.footprint_bytes),
        row.arrays,
        ELEMENT_BYTES[parameters.dtype],
        max(map(chunk_bytes, shapes)),
    )
    task = StreamTask(bench.device, bench.programs, row, parameters.dtype, segments, parameters.seed)
    try:
        task.fill()
        shape = tuned_shape(bench, task, shapes, planned.parameters)
        limit = parameters.time_limit_seconds or TIME_LIMIT_SECONDS[bench.device.info.kind]
        yield from measure_points(bench, planned, [stream_point(task, shape)], limit)
    finally:
        task.release()


def stream_point(task: StreamTask, shape: Shape) -> Point:
    """A whole pass of a task, checked whole."""
    return point_of(task, shape, lambda: task.poison(shape), lambda: task.check(shape))
