"""Groups that read while another one chases pointers: their pace, what they read, and whether it is right."""

from __future__ import annotations

from gpubench.benchmarks.latency.chase import Chase
from gpubench.devices.base import Buffer, Launch
from gpubench.measure.memory import PAGE_BYTES, parts, whole_pages
from gpubench.measure.run_context import RunContext, Skipped
from gpubench.measure.shapes import chunk_bytes, helper_grid, untuned_shape
from gpubench.measure.verification.arrays import salt_of
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.machine import DeviceInfo

_GROUP_WORDS = 16
"""The words of a group, as in loaded.cl."""
_CHUNKS, _CUT = 0, 3
"""Which of these words count chunks read, and readers cut off."""

_TRIAL_CHUNKS = 500
_TRIAL_TURNS = 2000
_TRIES = 25
_MOST_SECONDS = 1.0
"""Readers end after this time, even if the walk goes on: it is far longer than a busy host delays a walk."""


def tells_units(info: DeviceInfo) -> bool:
    """Whether kernels can find out which multiprocessor they run on: with OpenCL they cannot."""
    return info.runtime == "cuda"


class Readers:
    """All groups but the one that walks, each with a slice of ``nbytes`` of ``memory`` for itself."""

    def __init__(self, context: RunContext, chase: Chase, memory: Buffer, nbytes: int, seed: int) -> None:
        """Raises ``Skipped`` if the memory is too small for them."""
        rounds = context.profile.reader_rounds
        shape = untuned_shape(context.device.info, context.profile.reader_shape)
        self._context, self._chase, self._memory = context, chase, memory
        self._group_size = shape.group_size
        self._chunk_bytes = chunk_bytes(shape) * rounds
        self.count = (shape.groups or 1) - 1
        self._chunks = nbytes // self._chunk_bytes // self.count
        if not self._chunks:
            raise Skipped(f"{self.count} groups need at least {self.count * self._chunk_bytes} bytes to read")
        self._limit = _TRIAL_CHUNKS
        self._cut = 0
        self._program = context.programs.program(
            "loaded",
            "double",
            group_size=shape.group_size,
            VECTOR_ELEMENTS=shape.vector_bytes // 8,
            UNROLL=shape.unroll,
            CHUNK_ROUNDS=rounds,
            GROUPS_AT_ONCE=context.profile.reader_shape.groups_per_unit,
        )
        chunks = self.count * self._chunks
        sizes = [PAGE_BYTES, whole_pages(self.count * _GROUP_WORDS * 8), whole_pages(chunks * 8)]
        self._own = context.device.allocate(sum(sizes))
        self._ended = self._own.view(0, sizes[0])
        self._groups = self._own.view(sizes[0], sizes[1])
        self._sums = self._own.view(sizes[0] + sizes[1], sizes[2])
        salt = salt_of(seed)
        self._in_parts("fill_chunks", memory, chunks * self._chunk_bytes, 8, salt)
        self._in_parts("sum_chunks", self._sums, chunks * self._chunk_bytes, self._chunk_bytes, salt)

    def launch(self, steps: int, delay: int, *, reading: bool = True, alone: bool = False) -> Launch:
        """A walk of ``steps`` beside readers that idle for ``delay`` turns after each chunk.

        None of them is on its multiprocessor if it is ``alone``, where ``tells_units``.
        """
        limit = self._limit if reading else 0
        arguments = (
            self._chase.state, steps, self._ended, self._memory, self._groups, self._chunks, delay, limit,
            int(alone),
        )  # fmt: skip
        return Launch(self._program.kernel("loaded_walk"), self.count + 1, self._group_size, arguments)

    def begin(self) -> None:
        """Reset all counts and sums."""
        self._context.device.write_zeros(self._ended)
        self._context.device.write_zeros(self._groups)
        self._cut = 0

    def calibrate(self, steps: int) -> tuple[float, float]:
        """Seconds of a chunk for one reader at full speed, and of a turn of idling.

        Raises ``Skipped`` if nothing is read beside a walk.
        """
        # Twice: readers that end at the trial's limit, before the walk, appear slower than they are.
        for _ in range(2):
            full = min(self._seconds_of_chunk(steps, 0) for _ in range(3))
            self._limit = max(1, round(_MOST_SECONDS / full))
        idling = min(self._seconds_of_chunk(steps, _TRIAL_TURNS) for _ in range(3))
        return full, max(idling - full, 1e-9 * _TRIAL_TURNS / 100) / _TRIAL_TURNS

    def read_bytes(self) -> int:
        """By all readers since ``begin``."""
        return sum(self._words(_CHUNKS)) * self._chunk_bytes

    def newly_cut(self) -> int:
        """Readers that ended at their limit since the last call, or since ``begin``; their walk went on with
        less load than planned."""
        before, self._cut = self._cut, sum(self._words(_CUT))
        return self._cut - before

    def result(self, reports: MismatchReports) -> VerificationResult:
        """Whether every reader summed the chunks that it counted."""
        reports.clear()
        check = self._program.kernel("check_readers")
        arguments = (self._groups, self.count, self._chunks, self._sums, reports.found, reports.rows)
        self._context.device.run([self._helper(check, *arguments)])
        return reports.result("sums of readers")

    def release(self) -> None:
        self._own.release()

    def _in_parts(self, name: str, target: Buffer, nbytes: int, element_bytes: int, salt: int) -> None:
        """Over ``nbytes`` of the hash's words, in launches between which the run can be cancelled."""
        kernel = self._program.kernel(name)
        for begin, size in parts(nbytes, self._context.profile.untimed_launch_bytes):
            first, count = begin // element_bytes, size // element_bytes
            self._context.run([self._helper(kernel, target, first, count, salt)])

    def _seconds_of_chunk(self, steps: int, delay: int) -> float:
        """Tried again beside longer walks if nothing was read: a busy host may start the readers late."""
        for number in range(_TRIES):
            self._context.raise_if_cancelled()
            self._chase.begin()
            self.begin()
            seconds = self._context.device.run([self.launch(steps << number // 5, delay)])
            if read := sum(self._words(_CHUNKS)):
                return seconds * self.count / read
        raise Skipped("this device does not run its groups at the same time")

    def _words(self, number: int) -> list[int]:
        """The word of that number of each group."""
        words = self._context.device.read_words(self._groups, self.count * _GROUP_WORDS, 8)
        return words[number::_GROUP_WORDS]

    def _helper(self, kernel: object, *arguments: Buffer | int) -> Launch:
        groups = helper_grid(self._context.device.info).groups
        return Launch(kernel, groups, self._group_size, arguments)
