"""A run compared with the theory of its memory and with references. Figures only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpubench.catalog.load import Claim, claims
from gpubench.catalog.theory import module_share_bytes_per_second, per_pin_bits_per_second, upper_limit
from gpubench.comparison.curves import Curve, curves, parameters_apart, told_apart
from gpubench.comparison.references import (
    Projection,
    PublishedFigure,
    Reference,
    beside,
    board_references,
    is_of,
    no_projection,
    projections,
    published,
    technology_references,
)
from gpubench.comparison.verdicts import Verdict, compare_runs, why_unusable
from gpubench.devices.profile import profile_of
from gpubench.flags import Flag, ordered
from gpubench.results.document import Measurement, RunDocument, Summary
from gpubench.results.machine import Theory

__all__ = ["Comparison", "Verdict", "compare", "compare_runs"]

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
    "fraction at the live clock shows how well the memory was used.",
    "Anything from tools that count differently: a copy counted once is half of a copy counted twice.",
    "That a projection was measured: it assumes that another memory would reach the same fraction.",
)
NOT_ALLOWED_HBM = (
    "Anything about GDDR7's energy, latency or controllers from HBM: package, width and interface differ.",
    "Fractions finer than 3 % where the data sheet and the device disagree about the peak.",
)

NO_THEORY = (
    "There is no theory to compare these figures with: the device does not report its memory's data rate and "
    "bus width. State the technology and the bus width with the run, such as ddr5-4800 and 128 bit."
)


@dataclass(frozen=True)
class Result:
    """One figure and everything it is compared with; null if that is not known."""

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
        """Whether the device or the runtime does not support it, which is not an error."""
        return self.measurement.status == "skipped"


@dataclass(frozen=True)
class Comparison:
    """``results`` describe the memory as a whole; ``curves`` also caches and links."""

    document: RunDocument
    theory: Theory | None
    results: tuple[Result, ...]
    curves: tuple[Curve, ...]
    excluded: tuple[Excluded, ...]
    published: tuple[PublishedFigure, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    not_allowed: tuple[str, ...]


def compare(document: RunDocument, *, references: bool | None = None) -> Comparison:
    """Compare each verified bandwidth of a run with theory, references and published figures.

    ``references`` decides whether graphics boards and GDDR memories are included; by default they are, except
    for processors, whose DDR memory is compared with a graphics board only on request. Latencies and points
    of curves are not compared: they may describe a cache or a link. Never raises because of a document's
    contents: what cannot be compared is listed with its reason.
    """
    theory = document.theory if document.theory and sound(document.theory) else None
    family = theory.family if theory else None
    others = published(theory)
    unusual = document.environment.notes if document.environment else ()
    apart = told_apart(document.measurements)
    if references is None:
        references = document.device is None or profile_of(document.device.kind).compared_with_boards
    results: list[Result] = []
    points: list[Measurement] = []
    excluded: list[Excluded] = []
    for measurement in document.measurements:
        reason = why_unusable(measurement)
        if reason:
            excluded.append(Excluded(measurement, reason.text))
        elif measurement.axes or measurement.quantity != "bandwidth":
            points.append(measurement)
        else:
            result = _result(measurement, document, theory, others)
            if not references:
                result = replace(result, references=(), boards=(), projections=(), no_projection=None)
            results.append(replace(result, apart=parameters_apart(measurement, apart)))
    return Comparison(
        document=document,
        theory=theory,
        results=tuple(results),
        curves=curves(points, apart),
        excluded=tuple(excluded),
        published=others,
        claims=tuple(claim for claim in claims() if claim.family in ("GDDR7", family)) if references else (),
        notes=(*unusual, *(theory.notes if theory else (NO_THEORY,))),
        not_allowed=not_allowed(theory),
    )


def not_allowed(theory: Theory | None) -> tuple[str, ...]:
    """What figures of this memory do not allow one to conclude."""
    return NOT_ALLOWED + (NOT_ALLOWED_HBM if is_of(theory, "HBM") else ())


def flags_of(
    measurement: Measurement, nominal_ratio: float | None, live_clock_ratio: float | None
) -> tuple[Flag, ...]:
    """The measurement's flags, and ``over_theory`` if the figure is above theory without having the flag.

    Overclocked memory may exceed the nominal peak, and not that of its live clock.
    """
    live = 1 / live_clock_ratio if live_clock_ratio else None
    limit = upper_limit(1 / nominal_ratio, live) if nominal_ratio else None
    over: tuple[Flag, ...] = ("over_theory",) if limit and limit < 1 else ()
    return ordered((*measurement.flags, *over))


def _result(
    measurement: Measurement,
    document: RunDocument,
    theory: Theory | None,
    others: tuple[PublishedFigure, ...],
) -> Result:
    summary = measurement.bandwidth_bytes_per_second
    assert summary is not None  # noqa: S101  (why_unusable checked it)
    median = summary.median
    capacity = document.device.memory_bytes if document.device else None
    nominal = median / theory.peak_bytes_per_second if theory else None
    live = _live_clock_ratio(measurement, theory)
    flags = flags_of(measurement, nominal, live)
    refused = no_projection(theory, flags)
    return Result(
        measurement=measurement,
        bandwidth=summary,
        nominal_ratio=nominal,
        live_clock_ratio=live,
        per_pin_bits_per_second=per_pin_bits_per_second(median, theory.bus_width_bits) if theory else None,
        per_module_bytes_per_second=module_share_bytes_per_second(median, theory) if theory else None,
        sweep_seconds=capacity / median if capacity and capacity > 0 else None,
        flags=flags,
        references=technology_references(median, theory),
        boards=board_references(median, theory),
        projections=projections(summary, theory) if theory and not refused else (),
        published=beside(others, measurement.benchmark, median),
        no_projection=refused,
    )


def sound(theory: Theory) -> bool:
    """Whether something can be compared with it: a document may hold any number."""
    return (
        math.isfinite(theory.peak_bytes_per_second)
        and theory.peak_bytes_per_second > 0
        and theory.bus_width_bits > 0
    )


def _live_clock_ratio(measurement: Measurement, theory: Theory | None) -> float | None:
    recorded = measurement.efficiency_ratio.live_clock
    summary = measurement.bandwidth_bytes_per_second
    peak = theory.live_clock_peak_bytes_per_second if theory else None
    return recorded or (summary.median / peak if summary and peak and peak > 0 else None)
