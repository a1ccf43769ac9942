"""Find a board or a technology by what people and runtimes call it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

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

_NOISE = re.compile(r"\((?:r|tm)\)|[^a-z0-9.+]+")
_CAPACITY = re.compile(r"\b([0-9]+) gb\b")
_BRANDS = frozenset({"geforce", "radeon", "instinct", "arc", "graphics", "tesla"})
_VENDORS = frozenset({"nvidia", "amd", "intel"})
_TECHNOLOGY = re.compile(
    r"(?P<family>[a-z]+[0-9][a-z]*)[ _-]+(?P<rate>[0-9]{1,5}(?:[.p][0-9]{1,4})?)"
    r"[ _-]*(?:gbps|gbit/s|gb/s|mt/s)?",
    re.ASCII,
)
_SLOWEST_MT, _FASTEST_MT = 200, 20_000
"""A grade above 200 is written in MT/s (DDR5-4800), below in Gbit/s (GDDR7-32)."""


def find_technology(text: str) -> Technology:
    """A speed grade by its name: ``gddr7-32``, ``GDDR7 32 Gbps``, ``gddr6x-19.5``, ``ddr5-4800``.

    DDR and LPDDR are named by their rate, so grades that have no row are computed from the name
    (4800 MT/s is 4.8 Gbit/s on each pin). Raises ``CatalogError`` for what is not known; the
    message names what is close.
    """
    match = _TECHNOLOGY.fullmatch(text.strip().lower())
    known = {name.lower(): name for name in families()}
    if match and match["family"] in known:
        family = known[match["family"]]
        rate = float(match["rate"].replace("p", "."))
        in_mt = rate >= _SLOWEST_MT
        found = technology_for(family, (rate / 1000 if in_mt else rate) * 1e9)
        if found:
            return found
        if in_mt and rate <= _FASTEST_MT and not family.startswith(("GDDR", "HBM")):
            return Technology(
                id=f"{family.lower()}-{rate:g}",
                family=family,
                data_rate_gbit_per_second=rate / 1000,
                sources=("computed from the name: MT/s / 1000 is Gbit/s per pin",),
            )
    ids = [row.id for row in technologies()]
    family_word = re.split(r"[^a-z0-9]", text.strip().lower(), maxsplit=1)[0]
    grades = {name: name for name in [n for n in ids if n.partition("-")[0] == family_word] or ids}
    raise CatalogError(
        f"no memory technology {text[:60]!r} in the catalogue; write family-rate, such as gddr7-32 or "
        f"ddr5-4800; {_did_you_mean(text.strip().lower(), grades)}"
    )


def technology_for(family: str, data_rate_bits_per_second: float) -> Technology | None:
    """The family's grade at this data rate, within 0.5 %."""
    for row in technologies():
        expected = row.data_rate_bits_per_second
        if row.family == family and abs(data_rate_bits_per_second - expected) <= 0.005 * expected:
            return row
    return None


def find_board(text: str) -> Board:
    """The board that a person means: its id, its name or a part of it, with its variant if needed.

    Raises ``CatalogError`` where there is none, or more than one; the message names the close ones.
    """
    words = _words(text)
    exact = [row for row in boards() if text.strip().lower() == row.id or words in _spellings(row)]
    found = exact or [row for row in boards() if words and set(words) <= set(_words(row.label))]
    if len(found) == 1:
        return found[0]
    if found:
        raise CatalogError(
            f"{text[:60]!r} may be {len(found)} boards: {_listed(found)}; write more of the name, or the id"
        )
    names = {" ".join(_without_brands(_words(row.label))): row.label for row in boards()}
    grades = {row.id.replace("-", " "): row.id for row in technologies()}  # gdr7-32 is no board either
    raise CatalogError(
        f"no board {text[:60]!r} in the catalogue; "
        f"{_did_you_mean(' '.join(_without_brands(words)), names | grades)}"
    )


def board_for_device(info: DeviceInfo) -> Board | None:
    """The row of a device, by the name that its runtime reports.

    Boards that share a name are told apart by bus width, then memory size, then memory clock.
    Where these leave boards of different bandwidth, the answer is null: never a guess.
    """
    words = _words(info.name)
    found = [row for row in boards() if words in {_words(name) for name in (row.name, *row.aliases)}]
    if info.bus_width_bits and len(found) > 1:
        found = [row for row in found if row.bus_width_bits == info.bus_width_bits] or found
    if info.memory_bytes and len(found) > 1:
        found = _nearest(found, info.memory_bytes / GIB, [row.capacity_gib for row in found])
    if info.memory_clock_hz and len(found) > 1:
        rate = 2 * info.memory_clock_hz / 1e9
        found = _nearest(found, rate, [row.data_rate_gbit_per_second for row in found])
    peaks = {(row.data_rate_gbit_per_second, row.bus_width_bits) for row in found}
    return found[0] if len(peaks) == 1 else None


def published_for(board: Board) -> list[PublishedSeries]:
    """What others measured on this board, grades A and B: only those may stand beside a figure."""
    return [row for row in published() if row.board == board.id and row.grade in ("A", "B")]


def _nearest(rows: Sequence[Board], value: float, values: Sequence[float]) -> list[Board]:
    least = min(abs(value - each) for each in values)
    return [row for row, each in zip(rows, values, strict=True) if abs(value - each) == least]


def _words(text: str) -> tuple[str, ...]:
    """The words that tell boards apart: lower case, without marks and vendor, ``16 GB`` as one."""
    words = _CAPACITY.sub(r"\1gb", _NOISE.sub(" ", text.lower())).split()
    return tuple(word for word in words if word not in _VENDORS)


def _without_brands(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _BRANDS)


def _spellings(row: Board) -> set[tuple[str, ...]]:
    """Each of its names, also with the variant, also without what everybody leaves out."""
    names = {_words(name) for name in (row.name, *row.aliases)}
    if row.variant:
        names |= {name + _words(row.variant) for name in names}
    return names | {_without_brands(name) for name in names}


def _listed(rows: Sequence[Board]) -> str:
    names = [f"{row.label} = {row.id}" for row in rows[:6]]
    return ", ".join(names) + (", ..." if len(rows) > 6 else "")


def _did_you_mean(text: str, names: dict[str, str]) -> str:
    """``names`` maps a spelling to what is shown for it."""
    close = [names[each] for each in difflib.get_close_matches(text[:60], names, n=4, cutoff=0.5)]
    if not close:
        return "it has no similar name"
    return f"did you mean {' or '.join(filter(None, (', '.join(close[:-1]), close[-1])))}?"
