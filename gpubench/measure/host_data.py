"""The values of ``kernels/data.cl`` once more, computed by the host alone: what a transfer must bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpubench.measure.sampling import Check
from gpubench.results.document import Mismatch

_SLICE_WORDS = 1 << 19
"""So much at a time: it stays in a cache, and a cancel is heard between."""

_MANTISSA_OF_ONE = np.uint64(0x3FF0000000000000)

Words = Any
"""A numpy array of unsigned words."""


def slices(count: int, check: Check) -> Iterator[slice]:
    """The parts of an array that are worked on in turn."""
    for begin in range(0, count, _SLICE_WORDS):
        check()
        yield slice(begin, min(begin + _SLICE_WORDS, count))


def fill_elements(words: Words, salt: int, check: Check) -> None:
    """The bits of ``element_at`` for ``double``, from index 0 on."""
    for part in slices(len(words), check):
        index = np.arange(part.start, part.stop, dtype=np.uint64)
        low, high = (_hash(np.uint64(2) * index + np.uint64(odd), salt).astype(np.uint64) for odd in (0, 1))
        words[part] = _MANTISSA_OF_ONE | ((high << np.uint64(32) | low) >> np.uint64(12))


def differences(expected: Words, actual: Words, at_most: int, check: Check) -> tuple[int, list[Mismatch]]:
    """How many words differ, and the first few that do."""
    count = 0
    first: list[Mismatch] = []
    for part in slices(len(expected), check):
        want, got = expected[part], actual[part]
        places = np.flatnonzero(want != got)
        count += len(places)
        first += [
            Mismatch(part.start + int(k), f"{int(want[k]):#x}", f"{int(got[k]):#x}")
            for k in places[: at_most - len(first)]
        ]
    return count, first


def _hash(index: Words, salt: int) -> Words:
    high = (index >> np.uint64(32)).astype(np.uint32)
    return mix(index.astype(np.uint32) ^ mix(high ^ np.uint32(salt)))


def mix(x: Words) -> Words:
    """``mix`` of data.cl, of 32-bit words."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
