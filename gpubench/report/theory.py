"""Theoretical peaks of boards and technologies, without measuring: ``gpubench theory``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpubench import units
from gpubench.catalog.load import Board, Technology, boards, families, technologies
from gpubench.catalog.lookup import find_board, find_technology, variants_of
from gpubench.catalog.theory import (
    board_peak_bytes_per_second,
    clock_from_data_rate,
    peak_bytes_per_second,
    per_module_bytes_per_second,
    theory_of_board,
)
from gpubench.comparison.references import Reference, board_references, technology_references
from gpubench.errors import CatalogError
from gpubench.report.text_table import UNKNOWN, Table
from gpubench.results.machine import Theory

if TYPE_CHECKING:
    from rich.console import RenderableType

MODULE_BYTES = 2 * units.GIB
"""The 16 Gbit module of GDDR6 and GDDR7 boards, sold as 2 GB."""

MIN_BUS_WIDTH_BITS, MAX_BUS_WIDTH_BITS = 8, 65_536


@dataclass(frozen=True)
class TheoryReport:
    """What is known without measuring; null if it is not known or has no meaning.

    ``module_count`` and ``capacity_bytes`` are the board's own, or for a GDDR technology those of
    2 GB modules on the whole bus. ``expected_clock_hz`` is the clock that an NVIDIA runtime reports, and
    ``compute_clock_hz`` the lower one while CUDA work runs, if it was observed.
    """

    label: str
    board: str | None
    family: str
    technology: str | None
    data_rate_bits_per_second: float
    bus_width_bits: int
    peak_bytes_per_second: float
    per_module_bytes_per_second: float
    module_count: int | None
    capacity_bytes: int | None
    published_bytes_per_second: float | None
    expected_clock_hz: float | None
    compute_clock_hz: float | None
    compute_clock_peak_bytes_per_second: float | None
    references: tuple[Reference, ...]
    boards: tuple[Reference, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]


def describe_theory(text: str, bus_width_bits: int | None = None) -> TheoryReport:
    """The theory of a board (``RTX 5090``) or of a technology on a bus (``gddr7-32``, 256).

    Raises ``CatalogError`` for a name that is not in the catalogue, for a technology without a bus width, for
    a width outside 8 to 65536 bit, and for a board with a width: it has its own.
    """
    if _is_technology(text):
        return _of_technology(find_technology(text), bus_width_bits)
    board = find_board(text)
    if bus_width_bits is not None:
        raise CatalogError(
            f"{board.label} has a bus of {board.bus_width_bits} bit; leave the bus width out, or name a "
            "technology with it, such as gddr7-28"
        )
    return _of_board(board)


def theory_json(report: TheoryReport) -> bytes:
    """The same as one JSON object, UTF-8."""
    return msgspec.json.encode(report)


def render_theory(report: TheoryReport, *, sources: bool = False) -> RenderableType:
    """The same for a terminal, with the rows' sources if asked for; needs rich."""
    from rich.console import Group
    from rich.text import Text

    from gpubench.report.terminal import table

    lines = [f"note: {note}" for note in report.notes]
    lines += [f"source: {source}" for source in report.sources if sources]
    return Group(table(_facts(report)), table(_references(report)), *(Text(line, "dim") for line in lines))


def catalog_tables() -> tuple[Table, Table]:
    """All boards, and all speed grades, that ``theory`` knows."""
    by_name = sorted(boards(), key=lambda row: (row.vendor, row.family, row.name))
    board_rows = tuple(
        (
            row.label,
            row.id,
            row.family,
            f"{row.data_rate_gbit_per_second:g}",
            str(row.bus_width_bits),
            f"{row.capacity_gib} GiB",
            units.number(units.to_gb_per_second(board_peak_bytes_per_second(row))),
        )
        for row in by_name
    )
    columns = ("board", "id", "memory", "Gbit/s", "bus", "capacity", "peak GB/s")
    grades = tuple((row.id, row.family, f"{row.data_rate_gbit_per_second:g}") for row in technologies())
    return (
        Table("Boards", columns, board_rows, 3),
        Table("Technologies", ("id", "memory", "Gbit/s"), grades, 2),
    )


def _is_technology(text: str) -> bool:
    """Whether the first word is a family of memory, alone or with a rate."""
    names = "|".join(families())
    return re.match(rf"\s*(?:{names})(?![a-z0-9])", text, re.IGNORECASE) is not None


def _of_technology(row: Technology, width: int | None) -> TheoryReport:
    if width is None:
        raise CatalogError(
            f"{row.label} is the rate of one pin: a peak needs the bus width too, such as --bus-width 256"
        )
    if not MIN_BUS_WIDTH_BITS <= width <= MAX_BUS_WIDTH_BITS:
        raise CatalogError(
            f"{width} bit is not a valid bus width; allowed: {MIN_BUS_WIDTH_BITS} to {MAX_BUS_WIDTH_BITS} "
            "bit, such as 128, 256 or 512"
        )
    family = families()[row.family]
    is_gddr = row.family.startswith("GDDR")
    whole = width % family.module_width_bits == 0
    modules = width // family.module_width_bits if whole else None
    notes = [family.note] if family.note else []
    if not whole:
        notes.append(f"{width} bit is not a whole number of {family.module_width_bits}-bit modules")
    theory = Theory(
        source="catalog",
        peak_bytes_per_second=peak_bytes_per_second(row.data_rate_bits_per_second, width),
        data_rate_bits_per_second=row.data_rate_bits_per_second,
        bus_width_bits=width,
        technology=row.id,
        family=row.family,
    )
    return _report(
        theory,
        label=f"{row.label}, {width} bit",
        module_count=modules,
        capacity_bytes=modules * MODULE_BYTES if modules and is_gddr else None,
        expected_clock_hz=clock_from_data_rate(row.data_rate_bits_per_second) if is_gddr else None,
        sources=tuple(dict.fromkeys(row.sources + family.sources)),
        notes=tuple(notes),
    )


def _of_board(row: Board) -> TheoryReport:
    rate = row.data_rate_bits_per_second
    reported = row.memory_clock_mhz * 1e6 if row.memory_clock_mhz else None
    return _report(
        theory_of_board(row),
        label=row.label,
        module_count=row.modules,
        capacity_bytes=row.capacity_gib * units.GIB,
        expected_clock_hz=reported or (clock_from_data_rate(rate) if row.vendor == "NVIDIA" else None),
        compute_clock_hz=row.compute_memory_clock_mhz * 1e6 if row.compute_memory_clock_mhz else None,
        sources=row.sources,
        notes=tuple(note for note in (row.note, _variants(row)) if note),
    )


def _variants(row: Board) -> str | None:
    others = [f"{each.label} ({each.id})" for each in variants_of(row)]
    return f"other boards with this name: {', '.join(others)}" if others else None


def _report(
    theory: Theory,
    *,
    label: str,
    module_count: int | None,
    capacity_bytes: int | None,
    expected_clock_hz: float | None,
    sources: tuple[str, ...],
    notes: tuple[str, ...],
    compute_clock_hz: float | None = None,
) -> TheoryReport:
    peak, width = theory.peak_bytes_per_second, theory.bus_width_bits
    return TheoryReport(
        label=label,
        board=theory.board,
        family=theory.family or UNKNOWN,
        technology=theory.technology,
        data_rate_bits_per_second=theory.data_rate_bits_per_second,
        bus_width_bits=width,
        peak_bytes_per_second=peak,
        per_module_bytes_per_second=per_module_bytes_per_second(peak, width),
        module_count=module_count,
        capacity_bytes=capacity_bytes,
        published_bytes_per_second=theory.published_bytes_per_second,
        expected_clock_hz=expected_clock_hz,
        compute_clock_hz=compute_clock_hz,
        compute_clock_peak_bytes_per_second=(
            peak_bytes_per_second(2 * compute_clock_hz, width) if compute_clock_hz else None
        ),
        references=technology_references(peak, theory),
        boards=board_references(peak, theory),
        sources=sources,
        notes=notes,
    )


def _facts(report: TheoryReport) -> Table:
    facts: list[tuple[str, str | None]] = [
        ("Theoretical peak", units.format_bandwidth(report.peak_bytes_per_second)),
        ("Data rate", f"{units.format_data_rate(report.data_rate_bits_per_second)} per pin"),
        ("Bus width", f"{report.bus_width_bits} bit"),
        (
            f"Per 32 bits{', one module' if report.family.startswith('GDDR') else ''}",
            units.format_bandwidth(report.per_module_bytes_per_second),
        ),
        ("Modules", str(report.module_count) if report.module_count else None),
        ("Capacity", units.format_bytes(report.capacity_bytes) if report.capacity_bytes else None),
        ("Data sheet", _shown(report.published_bytes_per_second)),
        ("Clock that the runtime reports", _clock(report.expected_clock_hz)),
        ("Clock while CUDA work runs", _clock(report.compute_clock_hz)),
        ("Peak at that clock", _shown(report.compute_clock_peak_bytes_per_second)),
    ]
    return Table(report.label, ("", ""), tuple((name, value) for name, value in facts if value), 2)


def _references(report: TheoryReport) -> Table:
    rows = tuple(
        (
            each.label,
            f"{each.bus_width_bits} bit",
            units.number(units.to_gb_per_second(each.peak_bytes_per_second)),
            units.format_ratio(each.measured_ratio),
        )
        for each in (*report.references, *report.boards)
    )
    return Table("Theory against theory", ("reference", "bus", "peak GB/s", "ratio"), rows)


def _shown(rate: float | None) -> str | None:
    return units.format_bandwidth(rate) if rate is not None else None


def _clock(hertz: float | None) -> str | None:
    return units.format_clock(hertz) if hertz is not None else None
