"""A device's bus with every generation of GDDR: theory, projection, capacity, and vendors' claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpubench.catalog.load import Claim, Technology, claims, families
from gpubench.catalog.lookup import find_technology
from gpubench.catalog.theory import MODULE_BITS, peak_bytes_per_second
from gpubench.comparison.compare import not_allowed
from gpubench.comparison.references import (
    HEADLINES,
    REFERENCE_TECHNOLOGIES,
    REFERENCE_WIDTHS_BITS,
    Projection,
    is_of,
    no_projection,
    projections,
)
from gpubench.comparison.sides import Pooled, Row, Side, whole_memory
from gpubench.flags import flags_with
from gpubench.results.document import Finding, Summary
from gpubench.results.machine import Theory
from gpubench.units import GIB

MODULE_GIBIBYTES = (2, 3)
"""Modules of 16 and 24 Gbit, which are sold as 2 GB and 3 GB."""


@dataclass(frozen=True)
class Generation:
    """One memory on a bus. ``theory_ratio`` is the device's own theory over this peak, ``measured_ratio`` the
    figure measured on the device over it. ``capacities_bytes`` are those with a module of 2 GB and of 3 GB on
    each 32 bits; null if the family has no such module, or the bus is not a whole number of them."""

    label: str
    technology: str
    bus_width_bits: int
    peak_bytes_per_second: float
    theory_ratio: float | None
    measured_ratio: float | None
    projection: Projection | None
    capacities_bytes: tuple[int | None, ...]


@dataclass(frozen=True)
class Generations:
    """``measured`` is the figure, of ``benchmark``, that the ratios and projections are of; null of a board
    that is not here. ``findings`` are the runs' own on energy and heat. ``no_projection`` is why there is
    none; ``not_allowed`` is what nothing of this allows one to conclude."""

    side: int
    device: str | None
    theory: Theory | None
    benchmark: str | None
    measured: Pooled | None
    generations: tuple[Generation, ...]
    no_projection: str | None
    claims: tuple[Claim, ...]
    findings: tuple[Finding, ...]
    not_allowed: tuple[str, ...]


def generations_of(side: Side, number: int, rows: Sequence[Row] = ()) -> Generations:
    """Of side ``number``, whose pooled figures are in ``rows``.

    Memory that is not GDDR has no bus to put GDDR on: it is compared at three widths and not projected.
    """
    theory = side.theory
    row = _headline(rows, number)
    measured = row.figures[number] if row else None
    refused = no_projection(theory, measured.flags) if measured else None
    widths = (theory.bus_width_bits,) if theory and is_of(theory, "GDDR") else REFERENCE_WIDTHS_BITS
    projected = _projections(measured, theory) if measured and theory and not refused else {}
    return Generations(
        side=number,
        device=side.device,
        theory=theory,
        benchmark=row.benchmark if row else None,
        measured=measured,
        generations=tuple(
            _generation(technology, width, theory, measured, projected.get(technology.label))
            for width in widths
            for technology in map(find_technology, REFERENCE_TECHNOLOGIES)
        ),
        no_projection=refused,
        claims=tuple(claim for claim in claims() if claim.family.startswith("GDDR")),
        findings=tuple(
            finding
            for document in side.documents
            for finding in document.findings
            if finding.name in ("energy_per_byte", "energy_per_bit_above_idle", "temperature_rise", "heating")
        ),
        not_allowed=not_allowed(theory),
    )


def _headline(rows: Sequence[Row], number: int) -> Row | None:
    """The benchmark that represents a run, at the highest of its figures that are the memory's own."""

    def figure(row: Row) -> Pooled | None:
        found = row.figures[number]
        return found if found and found.runs and not flags_with("not_comparable", found.flags) else None

    known = [(row, pooled) for row in rows if whole_memory(row) and (pooled := figure(row))]
    named = [pair for name in HEADLINES for pair in known if pair[0].benchmark == name]
    first = [pair for pair in named if pair[0].benchmark == named[0][0].benchmark]
    return max(first, key=lambda pair: (not pair[1].flags, pair[1].median))[0] if first else None


def _projections(measured: Pooled, theory: Theory) -> dict[str, Projection]:
    low, high = measured.low or measured.median, measured.high or measured.median
    summary = Summary(measured.median, low, high, low, high, low, high)
    return {each.label: each for each in projections(summary, theory, REFERENCE_TECHNOLOGIES)}


def _generation(
    technology: Technology,
    width: int,
    theory: Theory | None,
    measured: Pooled | None,
    projection: Projection | None,
) -> Generation:
    peak = peak_bytes_per_second(technology.data_rate_bits_per_second, width)
    return Generation(
        label=technology.label,
        technology=technology.id,
        bus_width_bits=width,
        peak_bytes_per_second=peak,
        theory_ratio=theory.peak_bytes_per_second / peak if theory else None,
        measured_ratio=measured.median / peak if measured else None,
        projection=projection,
        capacities_bytes=tuple(_capacity(technology, width, size) for size in MODULE_GIBIBYTES),
    )


def _capacity(technology: Technology, width: int, module_gibibytes: int) -> int | None:
    exists = module_gibibytes * 8 in families()[technology.family].module_densities_gbit
    return width // MODULE_BITS * module_gibibytes * GIB if exists and width % MODULE_BITS == 0 else None
