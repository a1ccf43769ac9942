"""What the simulated device runs in place of kernels: Python functions of the same names and arguments.

They leave behind what the kernels of ``gpubench/kernels`` do, word for word; how those walk shows in the
sums of groups alone. ``tests/measure/test_simulated_device.py`` sets them beside the real ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpubench.kernels.programs import MAX_REPORTS
from gpubench.measure.verification.host_data import rows

Words = npt.NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """How a kernel was compiled and launched."""

    definitions: Mapping[str, str]
    groups: int

    def defined(self, name: str) -> int:
        return int(self.definitions[name])

    @property
    def width(self) -> int:
        """Bytes of a word."""
        return self.defined("ELEMENT_BYTES")

    @property
    def word(self) -> np.dtype[Any]:
        return np.dtype(f"u{self.width}")

    @property
    def element(self) -> np.dtype[Any]:
        return np.dtype(f"f{self.width}")

    @property
    def chunk_elements(self) -> int:
        return self.defined("UNROLL") * self.defined("GROUP_SIZE") * self.defined("VECTOR_ELEMENTS")

    def elements(self, vectors: int) -> int:
        return vectors * self.defined("VECTOR_ELEMENTS")

    def words_of(self, memory: Words) -> Words:
        return memory[: len(memory) // self.width * self.width].view(self.word)


Kernel = Callable[..., int]
"""Of a grid, and of arguments as a kernel has them, memory as bytes; returns how many bytes it moved."""

WORD, ELEMENT, COUNTER = 0, 1, 2
"""Columns of ``rows``."""

SCALE = 3
COUNTER_STEP = np.uint64(0x9E3779B97F4A7C15)


@functools.lru_cache(maxsize=32)
def _data(column: int, first: int, count: int, salt: int, width: int) -> Words:
    return np.ascontiguousarray(rows(first, count, salt, width)[:, column])


def _fill(column: int) -> Kernel:
    def fill(grid: Grid, a: Words, count: int, first: int, salt: int) -> int:
        grid.words_of(a)[:count] = _data(column, first, count, salt, grid.width)
        return count * grid.width

    return fill


def tell_data(grid: Grid, a: Words, count: int, first: int, salt: int) -> int:
    grid.words_of(a)[: 4 * count] = rows(first, count, salt, grid.width).ravel()
    return 4 * count * grid.width


def poison(grid: Grid, a: Words, count: int) -> int:
    a[: count * grid.width] = 0xFF
    return count * grid.width


def _expected(grid: Grid, operation: int, first: int, count: int, salt_a: int, salt_b: int) -> Words:
    def elements(salt: int) -> Words:
        return _data(ELEMENT, first, count, salt, grid.width).view(grid.element)

    match operation:
        case 0:
            made = elements(salt_a)
        case 1:
            made = SCALE * elements(salt_a)
        case 2:
            made = elements(salt_a) + elements(salt_b)
        case 3:
            made = elements(salt_a) + SCALE * elements(salt_b)
        case _:
            return _data(COUNTER, first, count, salt_a, grid.width)
    return made.view(grid.word)


def _wrong(grid: Grid, a: Words, count: int, *what: int) -> tuple[Words, Words, Words]:
    """Where it is wrong, and the expected and the actual words there."""
    first, operation, salt_a, salt_b, tolerance = what
    expected, actual = _expected(grid, operation, first, count, salt_a, salt_b), grid.words_of(a)[:count]
    distance = np.where(expected > actual, expected - actual, actual - expected)
    places = np.flatnonzero(distance > tolerance)
    return places, expected[places], actual[places]


def check_elements(grid: Grid, a: Words, count: int, *what: Any) -> int:
    *numbers, found = what
    places, *_ = _wrong(grid, a, count, *numbers)
    found.view(np.uint32)[:2] += np.array([len(places), bool(len(places))], np.uint32)
    return count * grid.width


def report_elements(grid: Grid, a: Words, count: int, *what: Any) -> int:
    *numbers, found, reports = what
    places, expected, actual = _wrong(grid, a, count, *numbers)
    _report(found, reports, numbers[0] + places, expected, actual)
    return count * grid.width


def _report(found: Words, reports: Words, indices: Words, expected: Words, actual: Words) -> None:
    before = int(found.view(np.uint32)[0])
    found.view(np.uint32)[0] += len(indices)
    columns = [each[: max(0, MAX_REPORTS - before)].astype(np.uint64) for each in (indices, expected, actual)]
    told = np.stack(columns, axis=1)
    reports.view(np.uint64)[3 * before : 3 * (before + len(told))] = told.ravel()


def _by_group(values: Words, groups: int, rounds: int, chunk_elements: int, tile: bool) -> Words:
    """The sum of each group: of a row of chunks that is its own, or of every ``groups``-th chunk."""
    chunks = values.reshape(-1, chunk_elements).sum(axis=1, dtype=values.dtype)
    number = np.arange(len(chunks))
    sums = np.zeros(groups, values.dtype)
    np.add.at(sums, number // rounds if tile else number % groups, chunks)
    return sums


def check_word_sums(grid: Grid, sums: Words, count: int, first: int, rounds: int, *what: Any) -> int:
    chunk_elements, tile, salt_a, _, found, reports = what
    values = _data(WORD, first, count, salt_a, grid.width)
    expected = _by_group(values, grid.groups, rounds, chunk_elements, bool(tile))
    actual = grid.words_of(sums)[: grid.groups]
    wrong = np.flatnonzero(expected != actual)
    _report(found, reports, wrong, expected[wrong], actual[wrong])
    return grid.width * grid.groups


def check_product_sums(grid: Grid, sums: Words, count: int, first: int, rounds: int, *what: Any) -> int:
    chunk_elements, tile, salt_a, salt_b, found, reports = what
    a, b = (
        _data(ELEMENT, first, count, salt, grid.width).view(grid.element).astype(np.float64)
        for salt in (salt_a, salt_b)
    )
    expected = _by_group(a * b, grid.groups, rounds, chunk_elements, bool(tile))
    actual = sums.view(np.float64)[: grid.groups]
    wrong = np.flatnonzero(~(np.abs(expected - actual) < 0.5))
    _report(found, reports, wrong, expected[wrong].view(np.uint64), actual[wrong].view(np.uint64))
    return 8 * grid.groups


def _stream(arrays: int, made: Callable[..., Words]) -> Kernel:
    """The last array becomes what is made of the others, element by element."""

    def stream(grid: Grid, *arguments: Any) -> int:
        *memories, vectors, _ = arguments
        count = grid.elements(vectors)
        *inputs, output = (each[: count * grid.width].view(grid.element) for each in memories)
        output[:] = made(*inputs)
        return arrays * count * grid.width

    return stream


def stream_write(grid: Grid, a: Words, vectors: int, rounds: int, first: int, salt: int) -> int:
    count = grid.elements(vectors)
    grid.words_of(a)[:count] = _data(COUNTER, first, count, salt, grid.width)
    return count * grid.width


def stream_read(grid: Grid, a: Words, sums: Words, vectors: int, rounds: int) -> int:
    count = grid.elements(vectors)
    grid.words_of(sums)[: grid.groups] = _group_sums(grid, grid.words_of(a)[:count], rounds)
    return count * grid.width + 8 * grid.groups


def stream_dot(grid: Grid, a: Words, b: Words, sums: Words, vectors: int, rounds: int) -> int:
    count = grid.elements(vectors)
    left, right = (each[: count * grid.width].view(grid.element).astype(np.float64) for each in (a, b))
    sums.view(np.float64)[: grid.groups] = _group_sums(grid, left * right, rounds)
    return 2 * count * grid.width + 8 * grid.groups


def _group_sums(grid: Grid, values: Words, rounds: int) -> Words:
    own_row = bool(grid.defined("ORDER_TILE") or grid.defined("ORDER_HALVES"))
    return _by_group(values, grid.groups, rounds, grid.chunk_elements, own_row)


def total_words(grid: Grid, totals: Words, count: int, first: int, salt: int, *_: int) -> int:
    """In one place; the real one has a part of it for each group."""
    sums = grid.words_of(totals)[: grid.groups]
    sums[:] = 0
    sums[0] = _data(WORD, first, count, salt, grid.width).sum(dtype=grid.word)
    return grid.width * grid.groups


def _marks(first: int, count: int, start: int) -> Words:
    return np.uint64(start) + np.arange(first, first + count, dtype=np.uint64) * COUNTER_STEP


def launch_mark(grid: Grid, marks: Words, number: int, start: int) -> int:
    first = number * grid.groups
    marks.view(np.uint64)[first : first + grid.groups] = _marks(first, grid.groups, start)
    return 8 * grid.groups


def check_marks(grid: Grid, a: Words, count: int, start: int, *what: Any) -> int:
    wrong = np.count_nonzero(a.view(np.uint64)[:count] != _marks(0, count, start))
    what[-1].view(np.uint32)[:2] += np.array([wrong, bool(wrong)], np.uint32)
    return 8 * count


KERNELS: dict[str, Kernel] = {
    "fill_words": _fill(WORD),
    "fill_elements": _fill(ELEMENT),
    "tell_data": tell_data,
    "poison": poison,
    "check_elements": check_elements,
    "report_elements": report_elements,
    "check_word_sums": check_word_sums,
    "check_product_sums": check_product_sums,
    "stream_copy": _stream(2, lambda a: a),
    "stream_scale": _stream(2, lambda a: SCALE * a),
    "stream_add": _stream(3, lambda a, b: a + b),
    "stream_triad": _stream(3, lambda a, b: a + SCALE * b),
    "stream_write": stream_write,
    "stream_read": stream_read,
    "stream_dot": stream_dot,
    "total_words": total_words,
    "launch_mark": launch_mark,
    "check_marks": check_marks,
    "report_marks": check_marks,  # that they are wrong is enough
}
