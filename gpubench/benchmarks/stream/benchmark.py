"""The stream family: a pass over whole arrays, in the access shape that the memory likes best."""

from __future__ import annotations

from collections.abc import Iterator

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.measure.memory import releasing
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Measurement


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement]:
    """One figure; raises ``InvalidParameters`` if the shape or footprint asked for cannot be."""
    with releasing(StreamWorkspace(context, planned, STREAM[planned.name])) as workspace:
        task = workspace.filled_task()
        point = task.point(workspace.tuned_shape(task))
        yield from measure_points(context, planned, [point], context.profile.time_limit_seconds)
