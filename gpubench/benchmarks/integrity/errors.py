"""The analysis of wrong words: which bits, and whether a transfer, a cell or an address was at fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from gpubench.measure.verification.host_data import mix
from gpubench.results.document import Finding, Mismatch
from gpubench.units import format_bytes

Kind = Literal["transfer", "addressing", "retention", "storage"]
Words = npt.NDArray[np.uint64]

KINDS: dict[Kind, str] = {
    "transfer": "right when read again: corrupted on the way",
    "addressing": "the value of another address",
    "retention": "right before the pause and wrong after it",
    "storage": "wrong when read again too",
}

MAX_MISMATCHES = 8
_BITS = np.arange(64, dtype=np.uint64)

# Of the kernels: the counter's step, its inverse modulo 2^64, and by how much a counter is folded.
_STEP = 0x9E3779B97F4A7C15
_INVERSE_STEP = np.uint64(pow(_STEP, -1, 2**64))
_FOLD_BITS = np.uint64(23)


@dataclass(frozen=True)
class Rows:
    """Wrong words: index, expected and actual value, and what a second read gave, of each."""

    index: Words
    expected: Words
    actual: Words
    reread: Words

    @classmethod
    def of(cls, words: list[int]) -> Rows:
        """From rows of four, in the order of their index."""
        table = np.array(words, np.uint64).reshape(-1, 4)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return cls(table[:, 0], table[:, 1], table[:, 2], table[:, 3])


@dataclass
class Errors:
    """The errors that a pattern found: every wrong read is counted, and the first ones are analysed.

    A word that stays wrong is a wrong read in each check.
    """

    wrong_reads: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    risen: Counter[int] = field(default_factory=Counter)
    fallen: Counter[int] = field(default_factory=Counter)
    first: list[Mismatch] = field(default_factory=list)

    def add(self, wrong_reads: int, rows: Rows, kinds: list[Kind]) -> None:
        """``wrong_reads`` of one pass over memory, of which ``rows`` came back."""
        self.wrong_reads += wrong_reads
        self.kinds.update(kinds)
        flipped = rows.expected ^ rows.actual
        for bits, counter in ((flipped & rows.actual, self.risen), (flipped & rows.expected, self.fallen)):
            counts = ((bits[:, None] >> _BITS) & np.uint64(1)).sum(axis=0)
            counter.update({bit: int(count) for bit, count in enumerate(counts) if count})
        for row in zip(rows.index, rows.expected, rows.actual, rows.reread, strict=True):
            if len(self.first) == MAX_MISMATCHES:
                break
            index, *values = (int(word) for word in row)
            self.first.append(Mismatch(index, *(f"{value:#x}" for value in values)))

    def update(self, other: Errors) -> None:
        self.wrong_reads += other.wrong_reads
        self.kinds.update(other.kinds)
        self.risen.update(other.risen)
        self.fallen.update(other.fallen)


def kinds_of(
    rows: Rows, owners: Words | None, total_words: int, sound_before: npt.NDArray[np.bool_] | None
) -> list[Kind]:
    """The kind of each row.

    ``owners`` are the indices to which the values belong, None if a pattern's values belong to none.
    ``sound_before``: whether each row was right before a pause; None if there was none.
    """
    kinds = np.full(len(rows.index), "storage", dtype=object)
    if sound_before is not None:
        kinds[sound_before] = "retention"
    if owners is not None:
        kinds[(owners < np.uint64(total_words)) & (owners != rows.index)] = "addressing"
    kinds[rows.reread == rows.expected] = "transfer"
    return list(kinds)


def owners_of_counters(values: Words, salt: int, *, folded: bool) -> Words:
    """The index whose counter each value is. Any value has one, a wrong one nearly always a far one."""
    if folded:
        values = values ^ (values >> _FOLD_BITS) ^ (values >> (_FOLD_BITS + _FOLD_BITS))
    mixed: Words = mix(np.array([salt & 0xFFFFFFFF], np.uint32)).astype(np.uint64)
    return (values - mixed) * _INVERSE_STEP


def findings(
    benchmark: str, errors: Errors, tested_bytes: int, memory_bytes: int | None
) -> Iterator[Finding]:
    """How many errors in how much memory, of what kind, and in which bits; nothing more without any.

    ``memory_bytes`` is all that the device has, None if that is not known.
    """
    count = errors.wrong_reads
    said = f"wrong words were read {count} times" if count else "0 wrong words read"
    of = f" of {format_bytes(memory_bytes)}" if memory_bytes else ""
    yield Finding(benchmark, "errors", f"{said} in {format_bytes(tested_bytes)}{of}", count, "reads")
    looked_at = errors.kinds.total()
    for kind, meaning in KINDS.items():
        if count := errors.kinds[kind]:
            text = f"{count} of {looked_at} wrong reads examined: {kind}, {meaning}"
            yield Finding(benchmark, f"{kind}_errors", text, count, "reads")
    for bit in sorted({*errors.risen, *errors.fallen}):
        risen, fallen = errors.risen[bit], errors.fallen[bit]
        text = (
            f"bit {bit} was wrong in {risen + fallen} of {looked_at} wrong reads examined: "
            f"{risen} times 1 for 0, {fallen} times 0 for 1"
        )
        yield Finding(benchmark, f"flipped_bit_{bit}", text, risen + fallen, "reads")
