"""What benchmarks share whose points all go through one array: its memory, its data and its verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.measure.memory import Segment, releasing
from gpubench.measure.run_context import RunContext
from gpubench.measure.verification.arrays import ArrayVerifier, GroupSums, salt_of
from gpubench.requests import PlannedBenchmark


@dataclass(frozen=True)
class DataArray:
    """An array of words in ``segments``; ``salt`` is that of its data.

    ``sums`` has a buffer for each launch of a pass, with a word for each group.
    """

    context: RunContext
    segments: Sequence[Segment]
    word_bytes: int
    verifier: ArrayVerifier
    sums: GroupSums
    salt: int

    @property
    def nbytes(self) -> int:
        return sum(segment.elements for segment in self.segments) * self.word_bytes


@contextmanager
def data_array(
    context: RunContext,
    planned: PlannedBenchmark,
    dtype: str,
    step_bytes: int,
    *,
    groups: int = 1,
    launches_per_segment: int = 1,
) -> Iterator[DataArray]:
    """An array with the footprint of a benchmark, in whole steps, for the time of a block.

    ``groups`` are the most of a launch. Raises ``InvalidParameters`` and ``OutOfDeviceMemory``.
    """
    word_bytes = ELEMENT_BYTES[dtype]
    footprint_bytes = context.footprint_bytes(planned.parameters["footprint_bytes"])
    segments = context.arena.cut(footprint_bytes, 1, word_bytes, step_bytes)
    with (
        releasing(ArrayVerifier(context, dtype)) as verifier,
        releasing(GroupSums(context.device, launches_per_segment * len(segments), groups)) as sums,
    ):
        yield DataArray(context, segments, word_bytes, verifier, sums, salt_of(planned.parameters["seed"]))
