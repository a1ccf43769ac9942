"""Find a board or a technology by the names that people and runtimes use."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpubench.catalog.load import (
    Board,
    PublishedSeries,
    Technology,
    boards,
    families,
    published,
    technologies,
)
from gpubench.errors import CatalogError
from gpubench.results.machine import DeviceInfo
from gpubench.units import GIB

_TRADEMARK = re.compile(r"\((?:r|tm)\)")
_WORD = re.compile(r"[0-9]+(?:\.[0-9]+)?|[a-z]+|\+")
_CAPACITY = re.compile(r"(?<![a-z0-9])([0-9]+) ?gi?b(?![a-z])")
_OPTIONAL = frozenset(
    [
        *("nvidia", "amd", "intel", "geforce", "radeon", "instinct", "arc", "tesla", "rtx", "gtx", "rx"),
        *("graphics", "gpu", "edition", "generation"),
    ]
)
"""Words that people leave out of names; no two boards differ only in them."""
_OPTIONAL_INSIDE = re.compile("|".join(sorted(_OPTIONAL, key=len, reverse=True)))
_NOT, _PARTLY, _BUT_FOR_CAPACITY, _EXACTLY = range(4)
"""How well a spelling matches a name."""
_LAPTOP = {"mobile": "laptop", "notebook": "laptop"}
_TECHNOLOGY = re.compile(
    r"(?P<family>[a-z]+[0-9][a-z]*)[ _-]+(?P<rate>[0-9]{1,5}(?:[.p][0-9]{1,4})?)"
    r"[ _-]*(?:gbps|gbit/s|gb/s|mt/s)?",
    re.ASCII,
)
_SLICE = re.compile(r"\bMIG\b|\bGRID\b|-[0-9]+[ABCQ]$")
_CLOSE_RATIO = 0.6
_MOST_SUGGESTIONS = 4
_SLOWEST_MT, _FASTEST_MT = 200, 20_000
"""A grade above 200 is written in MT/s (DDR5-4800), below in Gbit/s (GDDR7-32)."""


def find_technology(text: str) -> Technology:
    """A speed grade by its name: ``gddr7-32``, ``GDDR7 32 Gbps``, ``gddr6x-19.5``, ``ddr5-4800``.

    The name includes the rate, so grades without a row are computed from it: for GDDR and HBM those
    between the slowest and the fastest known, for DDR and LPDDR any (4800 MT/s is 4.8 Gbit/s on each
    pin). Raises ``CatalogError`` for an unknown name; the message suggests similar ones.
    """
    lower = text.strip().lower()
    match = _TECHNOLOGY.fullmatch(lower)
    known = {name.lower(): name for name in families()}
    if match and match["family"] in known:
        family = known[match["family"]]
        rate = float(match["rate"].replace("p", "."))
        in_mt = rate >= _SLOWEST_MT
        gbit = rate / 1000 if in_mt else rate
        found = technology_for(family, gbit * 1e9)
        if found:
            return found
        if _is_plausible(family, gbit):
            how = "MT/s / 1000 is Gbit/s per pin" if in_mt else "the rate of one pin"
            return Technology(
                id=f"{family.lower()}-{rate:g}",
                family=family,
                data_rate_gbit_per_second=gbit,
                sources=(f"computed from the name: {how}",),
            )
    ids = [row.id for row in technologies()]
    family_word = re.split(r"[^a-z0-9]", lower, maxsplit=1)[0]
    grades = [name for name in ids if name.partition("-")[0] == family_word] or ids
    raise CatalogError(
        f"no memory technology {text[:60]!r} in the catalogue; write family-rate, such as gddr7-32 or "
        f"ddr5-4800; {_did_you_mean(_similar(lower, grades))}"
    )


def _is_plausible(family: str, gbit_per_second: float) -> bool:
    """Whether a grade without a row is between the family's grades; DDR and LPDDR go up to 20000 MT/s."""
    grades = [row.data_rate_gbit_per_second for row in technologies() if row.family == family]
    if not family.startswith(("GDDR", "HBM")):
        return _SLOWEST_MT <= gbit_per_second * 1000 <= _FASTEST_MT
    return bool(grades) and min(grades) <= gbit_per_second <= max(grades)


def technology_for(family: str, data_rate_bits_per_second: float) -> Technology | None:
    """The family's grade at this data rate, within 0.5 %."""
    for row in technologies():
        expected = row.data_rate_bits_per_second
        if row.family == family and abs(data_rate_bits_per_second - expected) <= 0.005 * expected:
            return row
    return None


def find_board(text: str) -> Board:
    """The board that a person means: its id, or its name in any usual spelling.

    ``5090``, ``rtx5090``, ``RTX 4070 Ti SUPER 16GB`` and ``h100-pcie`` are understood. A name that matches
    one board exactly is that board, even if longer names begin with it (``RTX 5090 D``); of two capacities
    with the same memory the first row counts. Raises ``CatalogError`` if there is none, or more than one; the
    message suggests similar ones.
    """
    asked = _Spelling.of(text)
    found = [row for row in boards() if text.strip().lower() == row.id]
    if not found and asked.words:
        fits = {row.id: max(asked.fit(name, row) for name in _spellings(row)) for row in boards()}
        best = max(fits.values())
        if best == _PARTLY:
            _refuse_other_capacity(asked, text)
        found = [row for row in boards() if fits[row.id] == best > _NOT]
        if best > _PARTLY and len(_peaks(found)) == len({row.name for row in found}) == 1:
            found = found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise CatalogError(
            f"{text[:60]!r} matches {len(found)} boards: {_listed(found)}; write more of the name, or the id"
        )
    raise CatalogError(f"no board {text[:60]!r} in the catalogue; {_close_boards(asked, text)}")


def _refuse_other_capacity(asked: _Spelling, text: str) -> None:
    """Raises ``CatalogError`` if the words are a board's whole name and the capacity is not that board's."""
    others = [row for row in boards() if asked.words in {name.words for name in _spellings(row)}]
    if asked.capacities_gib and others:
        sizes = ", ".join(f"{row.label} has {row.capacity_gib} GiB" for row in others)
        raise CatalogError(f"no board {text[:60]!r} in the catalogue: {sizes}")


def variants_of(board: Board) -> list[Board]:
    """Other boards whose names begin with this one's: other capacities, ``D`` and laptop editions."""
    own = _Spelling.of(board.name)
    return [row for row in boards() if row.id != board.id and own.begins(_Spelling.of(row.name))]


def board_for_device(info: DeviceInfo) -> Board | None:
    """The row of a device, by the name that its runtime reports, else by its PCI id.

    Boards that share a name are distinguished by PCI id, bus width, memory size and memory clock, in this
    order. If these leave boards of different bandwidth, the answer is null: never a guess. A slice of a
    board (MIG, vGPU) has the board's PCI id but not its memory, so it has no row.
    """
    name = _Spelling.of(info.name)
    found = [row for row in boards() if any(name == _Spelling.of(each) for each in (row.name, *row.aliases))]
    by_id = [row for row in found or boards() if info.pci_device_id in row.pci_device_ids]
    if found or not is_slice(info.name):
        found = by_id or found
    if info.bus_width_bits and len(found) > 1:
        found = [row for row in found if row.bus_width_bits == info.bus_width_bits] or found
    if info.memory_bytes and len(found) > 1:
        found = _nearest(found, info.memory_bytes / GIB, [row.capacity_gib for row in found])
    if info.memory_clock_hz and len(found) > 1:
        rate = 2 * info.memory_clock_hz / 1e9
        found = _nearest(found, rate, [row.data_rate_gbit_per_second for row in found])
    return found[0] if len(_peaks(found)) == 1 else None


def is_slice(name: str) -> bool:
    """Whether a device of this name is a part of a board (MIG), or a virtual one (vGPU)."""
    return _SLICE.search(name) is not None


def published_for(board: Board) -> list[PublishedSeries]:
    """Published measurements of this board, grades A and B: only those may be shown beside a figure."""
    return [row for row in published() if row.board == board.id and row.grade in ("A", "B")]


def _nearest(rows: Sequence[Board], value: float, values: Sequence[float]) -> list[Board]:
    least = min(abs(value - each) for each in values)
    return [row for row, each in zip(rows, values, strict=True) if abs(value - each) == least]


def _peaks(rows: Sequence[Board]) -> set[tuple[float, int]]:
    return {(row.data_rate_gbit_per_second, row.bus_width_bits) for row in rows}


@dataclass(frozen=True)
class _Spelling:
    """A name as the words that count: lower case, letters and digits separated, capacities kept apart."""

    words: tuple[str, ...]
    capacities_gib: tuple[int, ...]
    joined: str
    """All of it without spaces and optional words, for names written as one word: ``radeonprow6600``."""

    @classmethod
    @functools.cache
    def of(cls, text: str) -> _Spelling:
        lower = _TRADEMARK.sub(" ", text[:200].lower())
        capacities = tuple(int(size) for size in _CAPACITY.findall(lower))
        words = _WORD.findall(_CAPACITY.sub(" ", lower))
        kept = tuple(_LAPTOP.get(word, word) for word in words if word not in _OPTIONAL)
        return cls(kept, capacities, _OPTIONAL_INSIDE.sub("", "".join(_WORD.findall(lower))))

    @property
    def models(self) -> set[str]:
        """Numbers, by themselves and with the word before them: ``100`` and ``h100``."""
        pairs = zip(("", *self.words), self.words, strict=False)
        return {each for before, word in pairs if word[0].isdigit() for each in (word, before + word)}

    def fit(self, name: _Spelling, row: Board) -> int:
        """How well this spelling matches a name of the row, which may also include its capacity."""
        if self.joined == name.joined:
            return _EXACTLY
        if ("laptop" in self.words) != ("laptop" in name.words) and not _only_for_laptops(row):
            return _NOT
        asked, own = set(self.capacities_gib), set(name.capacities_gib)
        if not asked <= own | {row.capacity_gib}:
            return _NOT
        if "".join(self.words) == "".join(name.words) or sorted(self.words) == sorted(name.words):
            return _EXACTLY if asked == own else _BUT_FOR_CAPACITY
        return _PARTLY if set(self.words) <= set(name.words) else _NOT

    def begins(self, name: _Spelling) -> bool:
        return name.words[: len(self.words)] == self.words

    def closeness(self, name: _Spelling) -> tuple[int, float]:
        """Names with the same model number first, then by similarity."""
        ratio = difflib.SequenceMatcher(None, "".join(self.words), "".join(name.words)).ratio()
        return len(self.models & name.models), ratio


def _only_for_laptops(row: Board) -> bool:
    """Whether no desktop board has the name without ``Laptop``."""
    name = _Spelling.of(row.name)
    desktop = tuple(word for word in name.words if word != "laptop")
    return "laptop" in name.words and not any(_Spelling.of(each.name).words == desktop for each in boards())


@functools.cache
def _spellings(row: Board) -> tuple[_Spelling, ...]:
    """Spellings of its name and its aliases, each also with the variant."""
    names = (row.name, *row.aliases)
    variants = tuple(f"{name} {row.variant}" for name in names) if row.variant else ()
    return tuple(_Spelling.of(name) for name in (*names, *variants))


def _listed(rows: Sequence[Board]) -> str:
    names = [f"{row.label} = {row.id}" for row in rows[:6]]
    return ", ".join(names) + (", ..." if len(rows) > 6 else "")


def _close_boards(asked: _Spelling, text: str) -> str:
    """Boards with similar names, else similar speed grades, since ``gdr7-32`` is not a board."""
    laptop = "laptop" in asked.words
    ranked = sorted(
        (max(asked.closeness(name) for name in _spellings(row)), row.label)
        for row in boards()
        if laptop or "laptop" not in _Spelling.of(row.name).words
    )
    close = [label for (models, ratio), label in reversed(ranked) if models or ratio >= _CLOSE_RATIO]
    return _did_you_mean(close or _similar(text.strip().lower(), [row.id for row in technologies()]))


def _similar(text: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(text[:60], names, n=_MOST_SUGGESTIONS, cutoff=_CLOSE_RATIO)


def _did_you_mean(close: Sequence[str]) -> str:
    shown = list(close[:_MOST_SUGGESTIONS])
    if not shown:
        return "it has no similar name; `gpubench theory --list` lists all"
    return f"did you mean {' or '.join(filter(None, (', '.join(shown[:-1]), shown[-1])))}?"
