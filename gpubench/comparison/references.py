"""What a figure is compared with: peaks of other memories and boards, projections, published measurements.

A reference is a theoretical peak, so ``measured_ratio`` is a measured figure over another memory's theory,
and ``theory_ratio`` is theory over theory; wherever they are shown, they are labelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gpubench.catalog.load import PublishedSeries, Technology
from gpubench.catalog.lookup import find_board, find_technology, published_for
from gpubench.catalog.theory import board_peak_bytes_per_second, device_bus_width_bits, peak_bytes_per_second
from gpubench.errors import CatalogError
from gpubench.flags import Flag, flags_with
from gpubench.results.document import Summary
from gpubench.results.machine import Theory
from gpubench.units import GB

REFERENCE_TECHNOLOGIES = (
    "gddr6-14",
    "gddr6-16",
    "gddr6-18",
    "gddr6-20",
    "gddr6x-21",
    "gddr7-28",
    "gddr7-32",
)
PROJECTED_TECHNOLOGIES = ("gddr7-28", "gddr7-32")
REFERENCE_WIDTHS_BITS = (256, 384, 512)
"""For memory that is not GDDR, whose own bus width says nothing about a graphics board."""

HEADLINES = ("triad", "copy", "add", "scale", "read", "write", "dot")
"""The benchmark that represents a run: the first of these that it has, so that runs show the same one."""

REFERENCE_BOARDS = (
    "nvidia-geforce-rtx-5090",
    "nvidia-geforce-rtx-4090",
    "nvidia-geforce-rtx-3060-12-gb",
    "amd-radeon-rx-6900-xt",
)
REFERENCE_HBM_BOARD = "nvidia-h200"


@dataclass(frozen=True)
class Reference:
    """A theoretical peak in byte/s; ``theory_ratio`` is the device's own theory over it."""

    label: str
    bus_width_bits: int
    peak_bytes_per_second: float
    measured_ratio: float
    theory_ratio: float | None


@dataclass(frozen=True)
class Projection:
    """Not measured: theory of another memory on this bus x the efficiency measured here."""

    label: str
    peak_bytes_per_second: float
    median_bytes_per_second: float
    low_bytes_per_second: float
    high_bytes_per_second: float


@dataclass(frozen=True)
class PublishedFigure:
    """A published figure of the same board; ``measured_ratio`` is the figure measured here over it.

    The ratio is set only if a benchmark here has the same kernel.
    """

    tool: str
    kernel: str
    bandwidth_bytes_per_second: float
    grade: str
    source: str
    counting: str | None
    measured_ratio: float | None = None


def _reference(label: str, width: int, peak: float, measured: float, theory: Theory | None) -> Reference:
    own = theory.peak_bytes_per_second / peak if theory else None
    return Reference(label, width, peak, measured / peak, own)


def technology_references(measured: float, theory: Theory | None) -> tuple[Reference, ...]:
    """GDDR6 to GDDR7 at the device's bus width, or at three widths if it has no GDDR."""
    widths = (theory.bus_width_bits,) if theory and is_of(theory, "GDDR") else REFERENCE_WIDTHS_BITS
    return tuple(
        _reference(
            row.label, width, peak_bytes_per_second(row.data_rate_bits_per_second, width), measured, theory
        )
        for width in widths
        for row in map(find_technology, REFERENCE_TECHNOLOGIES)
    )


def board_references(measured: float, theory: Theory | None) -> tuple[Reference, ...]:
    """A few known boards, without the device's own: that ratio is its efficiency."""
    ids = REFERENCE_BOARDS + ((REFERENCE_HBM_BOARD,) if is_of(theory, "HBM") else ())
    return tuple(
        _reference(row.label, device_bus_width_bits(row), board_peak_bytes_per_second(row), measured, theory)
        for row in map(find_board, ids)
        if theory is None or row.id != theory.board
    )


def no_projection(theory: Theory | None, flags: tuple[Flag, ...]) -> str | None:
    """Why a figure is not projected on another memory; null if it is."""
    if not is_of(theory, "GDDR"):
        return "only a board with GDDR memory has a bus to project another GDDR memory on"
    blocking = flags_with("no_projection", flags)
    return f"the figure is flagged: {', '.join(blocking)}" if blocking else None


def projections(
    summary: Summary, theory: Theory, names: Iterable[str] = PROJECTED_TECHNOLOGIES
) -> tuple[Projection, ...]:
    """The measured efficiency on this bus with other memory, unless stated GDDR7 at 28 and 32 Gbit/s.

    Of overclocked memory it is that at the live clock.
    """
    own_peak = max(theory.peak_bytes_per_second, theory.live_clock_peak_bytes_per_second or 0.0)

    def project(row: Technology) -> Projection:
        peak = peak_bytes_per_second(row.data_rate_bits_per_second, theory.bus_width_bits)
        scale = peak / own_peak
        return Projection(row.label, peak, summary.median * scale, summary.low * scale, summary.high * scale)

    return tuple(project(find_technology(name)) for name in names)


def published(theory: Theory | None) -> tuple[PublishedFigure, ...]:
    """Published figures of the board of this theory."""
    try:
        series = published_for(find_board(theory.board)) if theory and theory.board else []
    except CatalogError:  # a document of a program with another catalogue
        series = []
    return tuple(figure for each in series for figure in _figures(each))


def beside(others: Iterable[PublishedFigure], benchmark: str, measured: float) -> tuple[PublishedFigure, ...]:
    """Those of the same kernel, each with the ratio of ``measured``, in byte/s, to it."""
    return tuple(
        replace(figure, measured_ratio=measured / figure.bandwidth_bytes_per_second)
        for figure in others
        if _same_kernel(figure, benchmark)
    )


def _figures(series: PublishedSeries) -> list[PublishedFigure]:
    return [
        PublishedFigure(
            tool=series.tool,
            kernel=figure.kernel,
            bandwidth_bytes_per_second=figure.gb_per_second * GB,
            grade=series.grade,
            source=series.source,
            counting=series.counting,
        )
        for figure in series.figures
    ]


def _same_kernel(figure: PublishedFigure, benchmark: str) -> bool:
    """``init (write)`` is a write, ``coalesced read`` a read; ``scale (copy-like)`` is not a copy."""
    return benchmark in re.split(r"[^a-z-]+", figure.kernel.lower())


def is_of(theory: Theory | None, kind: str) -> bool:
    """Whether the memory is known to be of a kind: ``GDDR`` or ``HBM``, of any generation."""
    return theory is not None and theory.family is not None and theory.family.startswith(kind)
