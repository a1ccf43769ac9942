"""Passes over a small footprint, many in one launch: the bandwidth of a cache, verified like any memory."""

from __future__ import annotations

import math

import msgspec

from gpubench.devices.base import Buffer, Launch
from gpubench.measure.memory import whole_pages
from gpubench.measure.run_context import RunContext
from gpubench.measure.shapes import chunk_bytes, untuned_shape
from gpubench.measure.verification.arrays import ArrayVerifier
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape

_WORD_BYTES = 8
_SHORT_SECONDS = 0.2e-3


def sweep_shape(context: RunContext, tuned: Shape, streaming_stores: bool) -> Shape:
    """The tuned shape, but with groups that stay from pass to pass."""
    info = context.device.info
    if fixed := context.profile.sweep_shape:
        shape = untuned_shape(info, fixed)
    else:
        order = "tile" if tuned.order == "grid" else tuned.order
        shape = msgspec.structs.replace(tuned, order=order, groups=info.compute_units or 1)
    return msgspec.structs.replace(shape, streaming_stores=streaming_stores)


class SweepTask:
    """Read or copy over the first bytes of arrays that hold words of the hash.

    With private caches each group has a tile of its own; else all groups go through all chunks.
    """

    def __init__(
        self,
        context: RunContext,
        verifier: ArrayVerifier,
        kernel: str,
        arrays: tuple[Buffer, ...],
        footprint_bytes: int,
        shape: Shape,
        salt: int,
    ) -> None:
        self._context, self._verifier, self._salt = context, verifier, salt
        self._kernel, self._arrays, self.shape = kernel, arrays, shape
        self._groups = shape.groups or 1
        chunks = footprint_bytes // len(arrays) // chunk_bytes(shape)
        own = context.profile.private_caches
        self._tiles = self._groups if own else chunks
        self._tile_chunks = chunks // self._groups if own else 1
        # 0: a group stays in its own tile. Else it moves on by so many tiles after each pass (by all of them
        # if it would stay otherwise).
        self._step = 0 if own or not chunks else _coprime_to_6(self._groups) % chunks or chunks
        self._sums_bytes = whole_pages(self._groups * _WORD_BYTES)
        self._own = context.device.allocate(self._sums_bytes + whole_pages(max(self._tiles, 1) * _WORD_BYTES))
        self._sums = self._own.view(0, self._sums_bytes)
        self._tile_sums = self._own.view(self._sums_bytes, self._own.nbytes - self._sums_bytes)
        self._program = context.programs.shaped("sweep", "double", shape)
        self.repeats = 1

    @property
    def array_bytes(self) -> int:
        return self._tiles * self._tile_chunks * chunk_bytes(self.shape)

    @property
    def footprint_bytes(self) -> int:
        """Of all arrays, in whole tiles; 0 if a tile has not one chunk."""
        return self.array_bytes * len(self._arrays)

    def pass_bytes(self) -> int:
        """Read, or read and written, by a launch."""
        tile_bytes = self._tile_chunks * chunk_bytes(self.shape)
        return self._groups * self.repeats * tile_bytes * len(self._arrays)

    def launch(self) -> Launch:
        arguments = (
            *self._arrays, self._sums, self._tiles, self._tile_chunks, self._step, self.repeats
        )  # fmt: skip
        kernel = self._program.kernel(f"sweep_{self._kernel}")
        return Launch(kernel, self._groups, self.shape.group_size, arguments)

    def calibrate(self) -> None:
        """Find how many passes make a launch that is long enough; all tiles once at least."""
        all_tiles = -(-self._tiles // (self._step or self._tiles))
        self.repeats = all_tiles
        self._context.run([self.launch()])
        while (seconds := self._context.run([self.launch()])) < _SHORT_SECONDS:
            self.repeats *= 4
        wanted = self.repeats * self._context.profile.sweep_launch_seconds / seconds
        self.repeats = max(all_tiles, math.ceil(wanted))
        tile_words = self._tile_chunks * chunk_bytes(self.shape) // _WORD_BYTES
        arguments = (self._tile_sums, self._tiles, tile_words, self._salt)
        self._context.run([self._verifier.launch(self._program.kernel("sum_tiles"), *arguments)])

    def poison(self) -> None:
        """Sums to zero, and all bits of a copy set."""
        self._context.device.write_zeros(self._sums)
        if self._kernel == "copy":
            self._verifier.poison(self._arrays[1], self.array_bytes // _WORD_BYTES)

    def verify(self) -> VerificationResult:
        """Verify every group's sum over all its passes, and every word of a copy."""
        reports = self._verifier.reports
        reports.clear()
        arguments = (
            self._sums, self._groups, self._tiles, self._step, self.repeats, self._tile_sums,
            reports.found, reports.rows,
        )  # fmt: skip
        self._context.run([self._verifier.launch(self._program.kernel("check_tours"), *arguments)])
        sums = reports.result("group sums")
        if sums.mismatches or self._kernel == "read":
            return sums
        added = 0 if self._step else self.repeats - 1
        copied = (self._arrays[1], self.array_bytes // _WORD_BYTES, self._salt, added, 0, 0)
        return self._verifier.verify_elements(self._program, "copied", [copied])

    def release(self) -> None:
        self._own.release()


def _coprime_to_6(most: int) -> int:
    """The largest number up to ``most`` that has no divisor with powers of two and their halves between."""
    return next(number for number in range(most, 0, -1) if math.gcd(number, 6) == 1)
