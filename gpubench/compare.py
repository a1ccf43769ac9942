"""A run held against what its memory should reach, and against other runs. Figures only.

A reference is a theoretical peak, so ``measured_ratio`` is a measured figure over somebody else's
theory and ``theory_ratio`` is theory over theory; which is which is said wherever they are shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpubench.catalog.load import Claim, Series, Technology, claims
from gpubench.catalog.lookup import find_board, find_technology, published_for
from gpubench.catalog.theory import (
    board_peak_bytes_per_second,
    device_bus_width_bits,
    peak_bytes_per_second,
    per_module_bytes_per_second,
    per_pin_bits_per_second,
)
from gpubench.curves import Curve, curves, parameters_apart, told_apart
from gpubench.errors import CatalogError
from gpubench.results.document import Flag, Measurement, RunDocument, Summary, Theory
from gpubench.units import GB
from gpubench.verdicts import Verdict, compare_runs, in_order, why_unusable

__all__ = ["Comparison", "Verdict", "compare", "compare_runs"]

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

REFERENCE_BOARDS = (
    "nvidia-geforce-rtx-5090",
    "nvidia-geforce-rtx-4090",
    "nvidia-geforce-rtx-3060-12-gb",
    "amd-radeon-rx-6900-xt",
)
REFERENCE_HBM_BOARD = "nvidia-h200"

_PROJECTABLE: frozenset[Flag] = frozenset({"clock_limited"})
"""Flags that leave the efficiency a property of this board: a GeForce clocks its memory down for
CUDA work whatever its modules. Any other flag says that the figure may be of something else."""

NOT_ALLOWED = (
    "That one kind of memory is more efficient, from the power of two different boards: chip, process, "
    "caches, voltage regulators and clocks differ too.",
    "Anything about the maker, the voltage or the temperature of the memory chips: the runtime shows none "
    "of them. A vendor's 1.1 V, or a lower thermal resistance, is neither confirmed nor refuted.",
    "That a higher fraction of the peak means better memory: controller, cache and kernel decide it, and "
    "boards with the same GDDR6 reach 75 % and 99 %.",
    "That a figure above the peak is a fast memory: it is a cache, or a wrong data sheet.",
    "That GDDR7's line coding explains a missing part: coding and checksums are outside the nominal rate.",
    "That a link without wrong data is a clean link: GDDR7 detects errors and sends again, which shows as "
    "lost bandwidth only.",
    "That the board is slow because it is below the nominal peak while its memory clock was lower: the "
    "fraction at the live clock speaks about the access.",
    "Anything from tools that count otherwise: a copy counted once is half of a copy counted twice.",
    "That a projection was measured: it assumes that another memory would reach the same fraction.",
)
NOT_ALLOWED_HBM = (
    "Anything about GDDR7's energy, latency or controllers from HBM: package, width and interface differ.",
    "Fractions finer than 3 % where the data sheet and the device disagree about the peak.",
)

NO_THEORY = (
    "There is no theory to hold these figures against: the device does not tell its memory's data rate and "
    "bus width. State the technology and the bus width with the run, such as ddr5-4800 and 128 bit."
)


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
    """What somebody else measured on the same board; ``measured_ratio`` is ours over theirs.

    The ratio stands only where a benchmark here has the same kernel.
    """

    tool: str
    kernel: str
    bandwidth_bytes_per_second: float
    grade: str
    source: str
    counting: str | None
    measured_ratio: float | None = None


@dataclass(frozen=True)
class Result:
    """One figure and everything it is held against; null where that is not known."""

    measurement: Measurement
    bandwidth: Summary
    nominal_ratio: float | None
    live_clock_ratio: float | None
    per_pin_bits_per_second: float | None
    per_module_bytes_per_second: float | None
    sweep_seconds: float | None
    flags: tuple[Flag, ...]
    references: tuple[Reference, ...]
    boards: tuple[Reference, ...]
    projections: tuple[Projection, ...]
    published: tuple[PublishedFigure, ...]
    no_projection: str | None
    apart: Mapping[str, Any] = field(default_factory=dict)
    """Its parameters that the run's other figures of the same benchmark do not share."""

    @property
    def benchmark(self) -> str:
        return self.measurement.benchmark


@dataclass(frozen=True)
class Excluded:
    """A measurement that gave no figure to compare."""

    measurement: Measurement
    reason: str

    @property
    def skipped(self) -> bool:
        """The device or the runtime cannot do it, which is nobody's fault."""
        return self.measurement.status == "skipped"


@dataclass(frozen=True)
class Comparison:
    """``results`` are of the memory as a whole; ``curves`` are of caches and links too."""

    document: RunDocument
    theory: Theory | None
    results: tuple[Result, ...]
    curves: tuple[Curve, ...]
    excluded: tuple[Excluded, ...]
    published: tuple[PublishedFigure, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    not_allowed: tuple[str, ...]


def compare(document: RunDocument) -> Comparison:
    """Hold each verified bandwidth of a run against theory, references and published figures.

    Latencies and points of curves are held against nothing: a cache is no memory, and neither is a
    link. Never raises for what a document holds: what cannot be compared is listed with its reason.
    """
    theory = document.theory if document.theory and _sound(document.theory) else None
    family = theory.family if theory else None
    others = _published(theory)
    apart = told_apart(document.measurements)
    results: list[Result] = []
    points: list[Measurement] = []
    excluded: list[Excluded] = []
    for measurement in document.measurements:
        reason = why_unusable(measurement)
        if reason:
            excluded.append(Excluded(measurement, reason))
        elif measurement.axes or measurement.quantity != "bandwidth":
            points.append(measurement)
        else:
            result = _result(measurement, document, theory, others)
            results.append(replace(result, apart=parameters_apart(measurement, apart)))
    is_hbm = family is not None and family.startswith("HBM")
    return Comparison(
        document=document,
        theory=theory,
        results=tuple(results),
        curves=curves(points, apart),
        excluded=tuple(excluded),
        published=others,
        claims=tuple(claim for claim in claims() if claim.family in ("GDDR7", family)),
        notes=tuple(theory.notes) if theory else (NO_THEORY,),
        not_allowed=NOT_ALLOWED + (NOT_ALLOWED_HBM if is_hbm else ()),
    )


def flags_of(measurement: Measurement, nominal_ratio: float | None) -> tuple[Flag, ...]:
    """The measurement's flags, and ``over_theory`` where the figure is above it all the same."""
    over: tuple[Flag, ...] = ("over_theory",) if nominal_ratio and nominal_ratio > 1 else ()
    return in_order((*measurement.flags, *over))


def _result(
    measurement: Measurement,
    document: RunDocument,
    theory: Theory | None,
    others: tuple[PublishedFigure, ...],
) -> Result:
    summary = measurement.bandwidth_bytes_per_second
    assert summary is not None  # noqa: S101  (why_unusable has seen it)
    median = summary.median
    capacity = document.device.memory_bytes if document.device else None
    nominal = median / theory.peak_bytes_per_second if theory else None
    flags = flags_of(measurement, nominal)
    no_projection = _no_projection(theory, flags)
    return Result(
        measurement=measurement,
        bandwidth=summary,
        nominal_ratio=nominal,
        live_clock_ratio=_live_clock_ratio(measurement, theory),
        per_pin_bits_per_second=per_pin_bits_per_second(median, theory.bus_width_bits) if theory else None,
        per_module_bytes_per_second=(
            per_module_bytes_per_second(median, theory.bus_width_bits) if theory else None
        ),
        sweep_seconds=capacity / median if capacity and capacity > 0 else None,
        flags=flags,
        references=technology_references(median, theory),
        boards=board_references(median, theory),
        projections=_projections(summary, theory) if theory and not no_projection else (),
        published=tuple(
            _beside(figure, median) for figure in others if _same_kernel(figure, measurement.benchmark)
        ),
        no_projection=no_projection,
    )


def _sound(theory: Theory) -> bool:
    return (
        math.isfinite(theory.peak_bytes_per_second)
        and theory.peak_bytes_per_second > 0
        and theory.bus_width_bits > 0
    )


def _is_gddr(theory: Theory | None) -> bool:
    return theory is not None and theory.family is not None and theory.family.startswith("GDDR")


def _live_clock_ratio(measurement: Measurement, theory: Theory | None) -> float | None:
    told = measurement.efficiency_ratio.live_clock
    summary = measurement.bandwidth_bytes_per_second
    peak = theory.live_clock_peak_bytes_per_second if theory else None
    return told or (summary.median / peak if summary and peak and peak > 0 else None)


def _reference(label: str, width: int, peak: float, measured: float, theory: Theory | None) -> Reference:
    own = theory.peak_bytes_per_second / peak if theory else None
    return Reference(label, width, peak, measured / peak, own)


def technology_references(measured: float, theory: Theory | None) -> tuple[Reference, ...]:
    """GDDR6 to GDDR7 at the device's bus width, or at three widths where it has no GDDR."""
    widths = (theory.bus_width_bits,) if theory and _is_gddr(theory) else REFERENCE_WIDTHS_BITS
    return tuple(
        _reference(
            row.label, width, peak_bytes_per_second(row.data_rate_bits_per_second, width), measured, theory
        )
        for width in widths
        for row in map(find_technology, REFERENCE_TECHNOLOGIES)
    )


def board_references(measured: float, theory: Theory | None) -> tuple[Reference, ...]:
    """A few known boards, without the device's own: that one is its efficiency."""
    is_hbm = theory is not None and theory.family is not None and theory.family.startswith("HBM")
    ids = REFERENCE_BOARDS + ((REFERENCE_HBM_BOARD,) if is_hbm else ())
    return tuple(
        _reference(row.label, device_bus_width_bits(row), board_peak_bytes_per_second(row), measured, theory)
        for row in map(find_board, ids)
        if theory is None or row.id != theory.board
    )


def _no_projection(theory: Theory | None, flags: tuple[Flag, ...]) -> str | None:
    if not _is_gddr(theory):
        return "only a board with GDDR memory has a bus to project another GDDR memory on"
    blocking = [flag for flag in flags if flag not in _PROJECTABLE]
    return f"the figure is flagged: {', '.join(blocking)}" if blocking else None


def _projections(summary: Summary, theory: Theory) -> tuple[Projection, ...]:
    def project(row: Technology) -> Projection:
        peak = peak_bytes_per_second(row.data_rate_bits_per_second, theory.bus_width_bits)
        scale = peak / theory.peak_bytes_per_second
        return Projection(row.label, peak, summary.median * scale, summary.low * scale, summary.high * scale)

    return tuple(project(find_technology(name)) for name in PROJECTED_TECHNOLOGIES)


def _published(theory: Theory | None) -> tuple[PublishedFigure, ...]:
    try:
        series = published_for(find_board(theory.board)) if theory and theory.board else []
    except CatalogError:  # a document of a program with another catalogue
        series = []
    return tuple(figure for each in series for figure in _figures(each))


def _figures(series: Series) -> list[PublishedFigure]:
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


def _beside(figure: PublishedFigure, measured: float) -> PublishedFigure:
    return replace(figure, measured_ratio=measured / figure.bandwidth_bytes_per_second)


def _same_kernel(figure: PublishedFigure, benchmark: str) -> bool:
    """``init (write)`` is a write, ``coalesced read`` a read; ``scale (copy-like)`` is no copy."""
    return benchmark in re.split(r"[^a-z-]+", figure.kernel.lower())
