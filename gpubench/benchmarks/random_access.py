"""Pieces of memory read, written and updated at random places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from gpubench.benchmarks.parameters import Parameters
from gpubench.devices.base import Launch, Program
from gpubench.measure.memory import Segment
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.shapes import SECTOR_BYTES, geometry
from gpubench.measure.statistics import median, summarize
from gpubench.measure.verification.arrays import Checks, SumPlaces, salt_of
from gpubench.measure.verification.result import VerificationResult, combined
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Mismatch, Shape
from gpubench.results.machine import DeviceInfo

PIECES_BYTES = (4, 8, 16, 32, 64, 128)

BUS_CROSSINGS = {"gather": 1, "scatter": 1, "update": 2}
"""Of a sector for each piece: an update reads it and writes it."""

_WORD_BYTES = 4
_BLOCK_PIECES = 1 << 12
"""The number of pieces is a multiple of this: LOW_BITS of random.cl."""

_MAX_VECTOR_BYTES = {"cpu": 64, "gpu": 16, "accelerator": 16}
"""Of one item's access; on a GPU, neighbouring items share a larger piece."""

_SECTORS_PER_PIECE = {"cpu": 4, "gpu": 1, "accelerator": 1}
"""Of the memory, at least: all of it in a pass leaves a processor time for a few samples only."""

_MAX_PIECES_PER_UNIT = 1 << 20
"""Of a processor, in one pass: so many end in time for a cancel to be heard."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A point for each size of piece."""
    parameters = Parameters(**planned.parameters)
    segments = context.arena.cut(
        context.footprint_bytes(parameters.footprint_bytes), 1, _WORD_BYTES, _BLOCK_PIECES * max(PIECES_BYTES)
    )
    checks = Checks(context, "float")
    groups = max(shape_for(context.device.info, piece).groups or 1 for piece in PIECES_BYTES)
    sums = SumPlaces(context.device, len(segments), groups)
    salt = salt_of(parameters.seed)
    try:
        for segment in segments if planned.name == "gather" else ():
            checks.fill(segment.arrays[0], segment.elements, 0, salt)
        tasks = [
            RandomTask(context, checks, segments, sums, planned.name, piece, salt) for piece in PIECES_BYTES
        ]
        limit = context.point_limit_seconds(parameters.time_limit_seconds)
        measured = measure_points(context, planned, [task.point() for task in tasks], limit, cold=True)
    finally:
        checks.release()
        sums.release()
    yield from measured
    yield from findings(measured)


def shape_for(info: DeviceInfo, piece_bytes: int) -> Shape:
    """Groups in plenty on a GPU, so that none waits long for the last ones."""
    units = info.compute_units or 1
    vector_bytes = min(piece_bytes, _MAX_VECTOR_BYTES[info.kind])
    if info.kind == "cpu":
        # A row of places first, and then a row of accesses: the more of them a core sees at once, the better.
        # Lines are written past the caches where whole ones are.
        return Shape(vector_bytes, 32, 1, "tile", vector_bytes >= 64, 8 * units)
    return Shape(vector_bytes, 4, 256, "grid", False, 64 * units)


class RandomTask:
    """Pieces of one size; each segment of memory has a permutation of its own pieces.

    A pass accesses a part of them, spread over all of the memory. What it leaves in a cache is driven
    out by the passes of the other sizes before it comes again.
    """

    def __init__(
        self,
        context: RunContext,
        checks: Checks,
        segments: Sequence[Segment],
        sums: SumPlaces,
        name: str,
        piece_bytes: int,
        salt: int,
    ) -> None:
        info = context.device.info
        self._context = context
        self._checks = checks
        self._segments = segments
        self._sums = sums
        self._name = name
        self._piece_bytes = piece_bytes
        self._moved_bytes = max(piece_bytes, SECTOR_BYTES[info.kind]) * BUS_CROSSINGS[name]
        self._salt = salt
        self._shape = shape_for(info, piece_bytes)
        segment_bytes = segments[0].elements * _WORD_BYTES
        self._blocks = segment_bytes // piece_bytes // _BLOCK_PIECES
        sectors = segment_bytes // SECTOR_BYTES[info.kind]
        pieces = min(segment_bytes // piece_bytes, sectors // _SECTORS_PER_PIECE[info.kind])
        if context.on_processor:
            pieces = min(pieces, _MAX_PIECES_PER_UNIT * (info.compute_units or 1) // len(segments))
        self._pieces = max(pieces // _BLOCK_PIECES, 1) * _BLOCK_PIECES

    def point(self) -> Point:
        accesses = self._pieces * len(self._segments)
        return Point(
            operations=self._launches(),
            payload_bytes=accesses * self._piece_bytes,
            bus_bytes=accesses * self._moved_bytes,
            footprint_bytes=sum(segment.elements for segment in self._segments) * _WORD_BYTES,
            poison=self._poison,
            verify=self._check,
            axes={"piece_bytes": self._piece_bytes},
            shape=self._shape,
            accesses=accesses,
        )

    def _launches(self) -> list[Launch]:
        kernel = self._program.kernel(f"random_{self._name}")
        g = geometry(self._shape, self._pieces * self._piece_bytes // _WORD_BYTES, _WORD_BYTES)
        numbers = (g.vectors, g.rounds, self._blocks, self._salt)
        return [
            Launch(kernel, g.groups, self._shape.group_size, (segment.arrays[0], sums, *numbers))
            for segment, sums in zip(self._segments, self._sums.places, strict=True)
        ]

    def _poison(self) -> None:
        self._sums.clear()
        for segment in self._segments:
            if self._name == "scatter":
                self._checks.poison(segment.arrays[0], segment.elements)
            if self._name == "update":
                self._checks.fill(segment.arrays[0], segment.elements, 0, self._salt)

    def _check(self) -> VerificationResult:
        if self._name == "gather":
            return self._checks.sums(self._expected_sum, self._sums)
        return combined([self._check_segment(index) for index in range(len(self._segments))])

    def _check_segment(self, index: int) -> VerificationResult:
        """Every word, also those that were not to be touched."""
        segment = self._segments[index]
        passes = self._sums.word(index, _WORD_BYTES)
        if self._name == "update" and not passes:
            return VerificationResult(1, [Mismatch(0, "0x1", "0x0")], "counts of passes")
        array = (segment.arrays[0], segment.elements, *self._numbers, passes)
        return self._checks.elements(self._program, self._name, [array])

    @cached_property
    def _expected_sum(self) -> int:
        parts = [(segment.elements, *self._numbers, 0) for segment in self._segments]
        return self._checks.total(self._program, "gather", parts)

    @property
    def _numbers(self) -> tuple[int, int, int]:
        return self._pieces, self._blocks, self._salt

    @cached_property
    def _program(self) -> Program:
        return self._context.programs.shaped(
            "random",
            "float",
            self._shape,
            PARTS=self._piece_bytes // self._shape.vector_bytes,
            PIECE_WORDS=self._piece_bytes // _WORD_BYTES,
        )


def findings(measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The rate at 8 bytes, and the smallest piece that is worth its transfer."""
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
