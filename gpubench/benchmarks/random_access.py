"""Pieces of memory read, written and updated at random addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from gpubench.benchmarks.data_array import DataArray, data_array
from gpubench.devices.base import Launch, Program
from gpubench.devices.profile import profile_of
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import geometry, untuned_shape
from gpubench.measure.statistics import median, summarize
from gpubench.measure.verification.result import VerificationResult, combined
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Mismatch, Shape
from gpubench.results.machine import DeviceInfo

PIECES_BYTES = (4, 8, 16, 32, 64, 128)

BUS_CROSSINGS = {"gather": 1, "scatter": 1, "update": 2}
"""How often the sectors of a piece cross the bus: an update reads them and writes them."""

_LINE_BYTES = 64
"""Whole lines are written past the caches of a processor."""

_BLOCK_PIECES = 1 << 12
"""The number of pieces is a multiple of this: LOW_BITS of random.cl."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each size of piece."""
    groups = max(shape_for(context.device.info, piece).groups or 1 for piece in PIECES_BYTES)
    step = _BLOCK_PIECES * max(PIECES_BYTES)
    with data_array(context, planned, "float", step, groups=groups) as array:
        for segment in array.segments if planned.name == "gather" else ():
            array.verifier.fill(segment.arrays[0], segment.elements, 0, array.salt)
        points = [RandomTask(array, planned.name, piece).point() for piece in PIECES_BYTES]
        measured = measure_points(context, planned, points, cold=True)
    yield from measured
    yield from findings(measured)


def shape_for(info: DeviceInfo, piece_bytes: int) -> Shape:
    fixed = profile_of(info.kind).random_shape
    vector_bytes = min(piece_bytes, fixed.vector_bytes)
    return msgspec.structs.replace(
        untuned_shape(info, fixed),
        vector_bytes=vector_bytes,
        streaming_stores=vector_bytes >= _LINE_BYTES,
    )


@dataclass
class RandomTask:
    """Pieces of one size; each segment of memory has a permutation of its own pieces.

    A pass accesses a part of them, spread over all of the memory. The passes of the other sizes evict
    from the caches what it leaves there.
    """

    array: DataArray
    name: str
    piece_bytes: int

    def point(self) -> Point:
        accesses = self._pieces * len(self.array.segments)
        moved = max(self.piece_bytes, self.array.context.profile.sector_bytes) * BUS_CROSSINGS[self.name]
        return Point(
            operations=self._launches(),
            payload_bytes=accesses * self.piece_bytes,
            bus_bytes=accesses * moved,
            footprint_bytes=self.array.nbytes,
            poison=self._poison,
            verify=self._verify,
            axes={"piece_bytes": self.piece_bytes},
            shape=self._shape,
            accesses=accesses,
        )

    @cached_property
    def _shape(self) -> Shape:
        return shape_for(self.array.context.device.info, self.piece_bytes)

    @property
    def _segment_bytes(self) -> int:
        return self.array.segments[0].elements * self.array.word_bytes

    @property
    def _blocks(self) -> int:
        return self._segment_bytes // self.piece_bytes // _BLOCK_PIECES

    @cached_property
    def _pieces(self) -> int:
        """Accessed in each segment, in whole blocks."""
        profile = self.array.context.profile
        sectors = self._segment_bytes // profile.sector_bytes
        pieces = min(self._segment_bytes // self.piece_bytes, sectors // profile.min_sectors_per_piece)
        if profile.max_pieces_per_unit:
            units = self.array.context.device.info.compute_units or 1
            pieces = min(pieces, profile.max_pieces_per_unit * units // len(self.array.segments))
        return max(pieces // _BLOCK_PIECES, 1) * _BLOCK_PIECES

    def _launches(self) -> list[Launch]:
        word_bytes = self.array.word_bytes
        kernel = self._program.kernel(f"random_{self.name}")
        g = geometry(self._shape, self._pieces * self.piece_bytes // word_bytes, word_bytes)
        numbers = (g.vectors, g.rounds, self._blocks, self.array.salt)
        return [
            Launch(kernel, g.groups, self._shape.group_size, (segment.arrays[0], sums, *numbers))
            for segment, sums in zip(self.array.segments, self.array.sums.buffers, strict=True)
        ]

    def _poison(self) -> None:
        verifier = self.array.verifier
        self.array.sums.clear()
        for segment in self.array.segments:
            if self.name == "scatter":
                verifier.poison(segment.arrays[0], segment.elements)
            if self.name == "update":
                verifier.fill(segment.arrays[0], segment.elements, 0, self.array.salt)

    def _verify(self) -> VerificationResult:
        if self.name == "gather":
            return self.array.verifier.verify_sums(self._expected_sum, self.array.sums)
        return combined([self._verify_segment(index) for index in range(len(self.array.segments))])

    def _verify_segment(self, index: int) -> VerificationResult:
        """Every word, also those that must not change."""
        segment = self.array.segments[index]
        passes = self.array.sums.word(index, self.array.word_bytes)
        if self.name == "update" and not passes:
            return VerificationResult(1, [Mismatch(0, "0x1", "0x0")], "counts of passes")
        words = (segment.arrays[0], segment.elements, *self._numbers, passes)
        return self.array.verifier.verify_elements(self._program, self.name, [words])

    @cached_property
    def _expected_sum(self) -> int:
        parts = [(segment.elements, *self._numbers, 0) for segment in self.array.segments]
        return self.array.verifier.expected_sum(self._program, "gather", parts)

    @property
    def _numbers(self) -> tuple[int, int, int]:
        return self._pieces, self._blocks, self.array.salt

    @cached_property
    def _program(self) -> Program:
        return self.array.context.programs.shaped(
            "random",
            "float",
            self._shape,
            PARTS=self.piece_bytes // self._shape.vector_bytes,
            PIECE_WORDS=self.piece_bytes // self.array.word_bytes,
        )


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The rate at 8 bytes, and the smallest piece with half of the highest payload bandwidth."""
    ok = {int(m.axes["piece_bytes"]): m for m in measured if m.status == "ok"}
    if 8 in ok:
        per_second = (ok[8].accesses or 0) / median(ok[8].samples_seconds)
        text = f"{per_second / 1e9:.4g} giga-accesses per second with pieces of 8 B"
        yield Finding(ok[8].benchmark, "accesses_per_second", text, per_second, "1/s")
    payload = {
        piece: rate
        for piece, m in ok.items()
        if (rate := summarize(m.samples_seconds).bandwidth(m.payload_bytes or 0))
    }
    if len(payload) == len(PIECES_BYTES):
        highest = max(payload.values(), key=lambda rate: rate.median)
        half = min(piece for piece, rate in payload.items() if rate.median >= highest.median / 2)
        text = f"pieces of {half} B are the smallest that reach half of the highest payload bandwidth"
        if perhaps := [p for p, rate in payload.items() if p < half and rate.high >= highest.low / 2]:
            text += f", though the noise does not rule out those of {min(perhaps)} B"
        yield Finding(ok[half].benchmark, "half_bandwidth_piece", text, half, "byte")
