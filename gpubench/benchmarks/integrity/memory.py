"""The memory under test: its parts, the launches over them, and the wrong words that come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpubench.benchmarks.integrity.errors import Rows
from gpubench.benchmarks.integrity.patterns import Pattern, Step
from gpubench.devices.base import Allocation, Buffer, Kernel, Launch
from gpubench.errors import BenchmarkFailed
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.run_context import RunContext
from gpubench.measure.shapes import geometry
from gpubench.results.document import Shape

WORD_BYTES = 8
MAX_ROWS = 16384
"""Wrong words of one pass that come back with their values; all are counted."""

SPOILED_WORDS, SPOILED_SPACING = 4096, 64
"""How many words are corrupted on purpose, and how far apart on average, so that a check of every other word
misses some."""

_ALL_ONES = 2**64 - 1
_HELPER_GROUPS = 64


@dataclass(frozen=True)
class Found:
    """``words`` are wrong in a pass, ``rows`` are the first that were found."""

    words: int
    rows: Rows | None


class MemoryUnderTest:
    """Equal parts of the allocations; ``release`` frees only what the test itself needs."""

    def __init__(
        self, context: RunContext, allocations: list[Allocation], part_bytes: int, shape: Shape
    ) -> None:
        self._context = context
        self._allocations = allocations  # whose views live as long as they do
        self.shape = shape
        self._part_words = part_bytes // WORD_BYTES
        self._parts: list[Buffer] = [
            each.view(offset, part_bytes)
            for each in allocations
            for offset in range(0, each.nbytes - part_bytes + 1, part_bytes)
        ]
        self._kernels: dict[tuple[int, str], Kernel] = {}
        self._found_memory = context.device.allocate(PAGE_BYTES)
        self._rows_memory = context.device.allocate(MAX_ROWS * 4 * WORD_BYTES)
        self._found = self._found_memory.view(0, PAGE_BYTES)
        self._rows = self._rows_memory.view(0, MAX_ROWS * 4 * WORD_BYTES)

    @property
    def parts(self) -> int:
        return len(self._parts)

    @property
    def words(self) -> int:
        return self.parts * self._part_words

    @property
    def part_bytes(self) -> int:
        return self._part_words * WORD_BYTES

    def warming(self, pattern: Pattern) -> Launch:
        """A launch to warm the device up with."""
        return self._launch(pattern, Step("write"), 0, 0, 0)

    def release(self) -> None:
        self._found_memory.release()
        self._rows_memory.release()

    def run(self, pattern: Pattern, step: Step, salt: int, on_part: Callable[[int, float], None]) -> Found:
        """One step over all parts; ``on_part`` is called with the number and the seconds of each."""
        count = 0
        self._context.device.write_zeros(self._found)
        for number in reversed(range(self.parts)) if step.down else range(self.parts):
            self._context.raise_if_cancelled()
            on_part(number, self._context.device.run([self._launch(pattern, step, salt, number, count)]))
            if step.kernel != "write":
                count += self._count()
        if count == 0:
            return Found(0, None)
        rows = min(count, MAX_ROWS)
        if step.kernel == "check":  # nothing was overwritten, and the caches hold other parts by now
            self._read_again(pattern, rows)
        return Found(count, Rows.of(self._context.device.read_words(self._rows, 4 * rows, WORD_BYTES)))

    def prove(self, pattern: Pattern, salt: int) -> None:
        """Prove that the checks work: words of one part are corrupted on purpose, and must be found.

        Raises ``BenchmarkFailed`` if they are not.
        """
        words = min(SPOILED_WORDS, self._part_words // SPOILED_SPACING)
        arguments = (self._parts[0], self._part_words, words)
        spoil = Launch(self._kernel(pattern, "spoil"), _HELPER_GROUPS, self.shape.group_size, arguments)
        write = self._launch(pattern, Step("write"), salt, 0, 0)
        self._context.device.write_zeros(self._found)
        for kernel in sorted({step.kernel for step in pattern.steps} - {"write"}):
            self._context.raise_if_cancelled()
            check = self._launch(pattern, Step(kernel), salt, 0, MAX_ROWS)  # no room: only counted
            self._context.device.run([write, check])
            wrong_anyway = self._count()
            self._context.device.run([write, spoil, check])
            # A bad word may happen to be right when it is corrupted.
            if (count := self._count()) < words - wrong_anyway:
                raise BenchmarkFailed(
                    f"{kernel} of {pattern.name} found {count} of {words} words corrupted on purpose"
                )

    def _launch(self, pattern: Pattern, step: Step, salt: int, number: int, found: int) -> Launch:
        shape = geometry(self.shape, self._part_words, WORD_BYTES)
        first, flip = number * self._part_words, _ALL_ONES if step.flipped else 0
        arguments: tuple[Buffer | int, ...] = (
            self._parts[number], shape.vectors, shape.rounds, first, salt, flip,
        )  # fmt: skip
        if step.kernel != "write":
            arguments += (found, self._found, self._rows)
        return Launch(self._kernel(pattern, step.kernel), shape.groups, self.shape.group_size, arguments)

    def _read_again(self, pattern: Pattern, rows: int) -> None:
        kernel = self._kernel(pattern, "reread")
        for number, part in enumerate(self._parts):
            self._context.raise_if_cancelled()
            arguments = (part, number * self._part_words, self._part_words, rows, self._rows)
            self._context.device.run([Launch(kernel, _HELPER_GROUPS, self.shape.group_size, arguments)])

    def _count(self) -> int:
        """Wrong words since the last count."""
        count = self._context.device.read_words(self._found, 1, 4)[0]
        if count:
            self._context.device.write_zeros(self._found)
        return count

    def _kernel(self, pattern: Pattern, name: str) -> Kernel:
        key = (pattern.number, name)
        if key not in self._kernels:
            program = self._context.programs.shaped(
                "integrity", "double", self.shape, PATTERN=pattern.number, ROWS=MAX_ROWS
            )
            self._kernels[key] = program.kernel(f"integrity_{name}")
        return self._kernels[key]
