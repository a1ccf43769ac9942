"""The values of ``kernels/data.cl``, computed by the host.

A transfer must deliver them, and the device must compute the same before anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpubench.measure.sampling import CancelCheck
from gpubench.results.document import Mismatch

_SLICE_WORDS = 1 << 19
"""Worked on at a time: they stay in a cache, and the run can be cancelled in between."""

_MANTISSA_OF_ONE = np.uint64(0x3FF0000000000000)

_COUNTER_STEP = 0x9E3779B97F4A7C15

Words = Any
"""A numpy array of unsigned words."""


def slices(count: int, raise_if_cancelled: CancelCheck) -> Iterator[slice]:
    """The parts of an array that are worked on in turn."""
    for begin in range(0, count, _SLICE_WORDS):
        raise_if_cancelled()
        yield slice(begin, min(begin + _SLICE_WORDS, count))


def fill_elements(words: Words, salt: int, raise_if_cancelled: CancelCheck) -> None:
    """The bits of ``element_at`` from index 0 on: for ``double``, or ``float`` if the words have 4 bytes."""
    for part in slices(len(words), raise_if_cancelled):
        index = np.arange(part.start, part.stop, dtype=np.uint64)
        words[part] = _words_and_elements(index, salt, words.itemsize)[1]


def rows(first: int, count: int, salt: int, word_bytes: int) -> Words:
    """The output of verify.cl's ``tell_data``: ``count`` rows of word, element, counter, folded counter."""
    bits = 8 * word_bytes
    index = np.arange(first, first + count, dtype=np.uint64)
    word, element = _words_and_elements(index, salt, word_bytes)
    unsigned = word.dtype.type
    start = mix(np.array([salt], np.uint32)).astype(word.dtype)
    counter = start + index.astype(word.dtype) * unsigned(_COUNTER_STEP % 2**bits)
    half = unsigned(bits // 2)
    folded = counter ^ (counter << half >> half) * (counter >> half)
    return np.stack([word, element, counter, folded], axis=1)


def _words_and_elements(index: Words, salt: int, word_bytes: int) -> tuple[Words, Words]:
    if word_bytes == 4:
        word = _hash(index, salt)
        return word, np.uint32(0x3F800000) | word >> np.uint32(9)
    word = _double_words(index, salt)
    return word, _MANTISSA_OF_ONE | word >> np.uint64(12)


def differences(
    expected: Words, actual: Words, at_most: int, raise_if_cancelled: CancelCheck
) -> tuple[int, list[Mismatch]]:
    """How many words differ, and the first few that do."""
    count = 0
    first: list[Mismatch] = []
    for part in slices(len(expected), raise_if_cancelled):
        want, got = expected[part], actual[part]
        differing = np.flatnonzero(want != got)
        count += len(differing)
        first += [
            Mismatch(part.start + int(k), f"{int(want[k]):#x}", f"{int(got[k]):#x}")
            for k in differing[: at_most - len(first)]
        ]
    return count, first


def _double_words(index: Words, salt: int) -> Words:
    """``word_at`` for words of 64 bits."""
    low, high = (_hash(np.uint64(2) * index + np.uint64(odd), salt).astype(np.uint64) for odd in (0, 1))
    return high << np.uint64(32) | low


def _hash(index: Words, salt: int) -> Words:
    high = (index >> np.uint64(32)).astype(np.uint32)
    return mix(index.astype(np.uint32) ^ mix(high ^ np.uint32(salt)))


def mix(x: Words) -> Words:
    """``mix`` of data.cl, of 32-bit words."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
