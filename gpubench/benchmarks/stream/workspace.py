"""What the tasks of a stream benchmark share: the shapes to try and the memory for verification."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.benchmarks.registry import StreamBenchmark
from gpubench.benchmarks.stream.task import Scratch, StreamTask
from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.measure.memory import Segment
from gpubench.measure.run_context import RunContext
from gpubench.measure.shapes import candidates, chunk_bytes
from gpubench.measure.tuning import tuned_shape
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Shape


class StreamWorkspace:
    """Makes tasks of ``row`` as ``planned`` asks for them, until it is released.

    Only one of its tasks at a time is between its poison and its verification: they share the scratch.
    """

    def __init__(
        self,
        context: RunContext,
        planned: PlannedBenchmark,
        row: StreamBenchmark,
        more_shapes: Sequence[Shape] = (),
    ) -> None:
        """``more_shapes`` come before those to try. Raises ``InvalidParameters`` if no shape can be."""
        self._context, self._parameters, self._row = context, planned.parameters, row
        self.dtype: str = planned.parameters.get("dtype") or _dtype_of(context)
        tried = candidates(context.device.info, row.access, self.dtype, planned.parameters)
        self.shapes = [*more_shapes, *tried]
        self._scratch: Scratch | None = None

    @property
    def element_bytes(self) -> int:
        return ELEMENT_BYTES[self.dtype]

    @property
    def chunk_bytes(self) -> int:
        """The largest of all shapes, of which arrays hold a whole number."""
        return max(map(chunk_bytes, self.shapes))

    def cut(self, footprint_bytes: int | None = None) -> list[Segment]:
        """Memory for all arrays; by default as much as the user asked for, or as keeps caches out."""
        footprint_bytes = footprint_bytes or self._context.footprint_bytes(
            self._parameters["footprint_bytes"]
        )
        return self._context.arena.cut(
            footprint_bytes, self._row.arrays, self.element_bytes, self.chunk_bytes
        )

    def task(self, segments: Sequence[Segment]) -> StreamTask:
        seed, self._scratch = self._parameters["seed"], self._scratch or Scratch(self._context.device)
        return StreamTask(self._context.programs, self._row, self.dtype, segments, seed, self._scratch)

    def filled_task(self, footprint_bytes: int | None = None) -> StreamTask:
        """Over a new cut."""
        task = self.task(self.cut(footprint_bytes))
        task.fill()
        return task

    def tuned_shape(self, task: StreamTask) -> Shape:
        return tuned_shape(self._context, task, self.shapes, self._parameters)

    def release(self) -> None:
        if self._scratch:
            self._scratch.release()


def _dtype_of(context: RunContext) -> str:
    """Of a benchmark without that parameter."""
    return "double" if context.device.info.has_double else "float"
