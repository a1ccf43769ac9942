"""Several sides against one of them: each a device's runs, pooled, or a board of the catalogue."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.catalog.load import Board
from gpubench.catalog.theory import module_share_bytes_per_second, per_pin_bits_per_second, theory_of_board
from gpubench.comparison.compare import sound
from gpubench.comparison.curves import parameters_apart, told_apart
from gpubench.comparison.environment import differing
from gpubench.comparison.reasons import reason
from gpubench.comparison.references import PublishedFigure, beside, published
from gpubench.comparison.verdicts import Figure, Verdict, by_settings, verdicts_by_settings, why_unusable
from gpubench.errors import InvalidParameters
from gpubench.flags import Flag, ordered
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.figures import figure_of
from gpubench.results.machine import Theory


@dataclass(frozen=True)
class Side:
    """Runs of one device, or a ``board`` of the catalogue: its theory, and its published figures."""

    name: str
    documents: tuple[RunDocument, ...] = ()
    board: Board | None = None

    @property
    def theory(self) -> Theory | None:
        """That of the board, or of the first run that has one."""
        if self.board is not None:
            return theory_of_board(self.board)
        return next((d.theory for d in self.documents if d.theory and sound(d.theory)), None)

    @property
    def device(self) -> str | None:
        if self.board is not None:
            return self.board.label
        return next((document.device.name for document in self.documents if document.device), None)


@dataclass(frozen=True)
class Pooled:
    """A side's figure, in byte/s or in seconds: the median of its runs' medians.

    ``low`` to ``high`` spans the intervals of all runs, ``spread_ratio`` is the distance from the lowest
    to the highest of their medians, over the median; null of one run. Of a board the figure is its
    theoretical peak, ``published`` are those of the same kernel, and there is no interval.
    """

    runs: int
    median: float
    low: float | None = None
    high: float | None = None
    spread_ratio: float | None = None
    nominal_ratio: float | None = None
    per_pin_bits_per_second: float | None = None
    per_module_bytes_per_second: float | None = None
    flags: tuple[Flag, ...] = ()
    published: tuple[PublishedFigure, ...] = ()


@dataclass(frozen=True)
class Row:
    """A benchmark at one of its settings, with a figure and a verdict for each side.

    A figure is null if the side has none that may be compared; a verdict is null for the baseline, and
    where neither side has the benchmark. ``apart`` are the parameters that tell it from the benchmark's
    other rows.
    """

    benchmark: str
    family: str
    parameters: Mapping[str, Any]
    apart: Mapping[str, Any]
    axes: Mapping[str, int | float | str]
    quantity: str
    figures: tuple[Pooled | None, ...]
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class FamilyMean:
    """The geometric mean of a side's ratios to the baseline, over ``rows`` rows that may be compared."""

    family: str
    side: int
    ratio: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class SidesComparison:
    """``baseline`` is a number of ``sides``; ``environment`` has the facts in which sides differ, by name,
    with one text for each side (null if it is not known)."""

    sides: tuple[Side, ...]
    baseline: int
    rows: tuple[Row, ...]
    means: tuple[FamilyMean, ...]
    environment: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)


def compare_sides(sides: Sequence[Side], baseline: int = 0) -> SidesComparison:
    """Each side against the baseline, for each benchmark at each of its settings.

    Verdicts are those of ``compare_runs``. The peak of a board stands beside each bandwidth of the whole
    memory, with a ratio and no verdict: nobody measured it here. Raises ``InvalidParameters`` if
    there is no side with the baseline's number.
    """
    if not 0 <= baseline < len(sides):
        raise InvalidParameters(f"the baseline must be one of the {len(sides)} sides")
    found = [by_settings(side.documents) for side in sides]
    judged = [
        {} if number == baseline else verdicts_by_settings(sides[baseline].documents, side.documents)
        for number, side in enumerate(sides)
    ]
    apart = told_apart(m for side in sides for document in side.documents for m in document.measurements)
    rows = []
    for key in dict.fromkeys(key for side in found for key in side):
        first = next(side[key][0][1] for side in found if key in side)
        figures = tuple(
            _pooled(side, figures.get(key, ()), first) for side, figures in zip(sides, found, strict=True)
        )
        verdicts = [each.get(key) for each in judged]
        verdicts[baseline] = None
        for index, side in enumerate(sides):
            if index != baseline and (side.board or sides[baseline].board):
                verdicts[index] = _against_theory(first, figures[baseline], figures[index])
        rows.append(_row(first, parameters_apart(first, apart), figures, verdicts))
    return SidesComparison(
        sides=tuple(sides),
        baseline=baseline,
        rows=tuple(rows),
        means=tuple(_means(rows, len(sides))),
        environment=differing([side.documents for side in sides]),
    )


def whole_memory(found: Measurement | Row) -> bool:
    """Whether its figure is a bandwidth of the memory as a whole, which theory is about."""
    return found.quantity == "bandwidth" and not found.axes


def _row(
    first: Measurement,
    apart: Mapping[str, Any],
    figures: tuple[Pooled | None, ...],
    verdicts: Sequence[Verdict | None],
) -> Row:
    known = BENCHMARKS.get(first.benchmark)
    return Row(
        benchmark=first.benchmark,
        family=known.family if known else first.benchmark,
        parameters=first.parameters,
        apart=apart,
        axes=first.axes,
        quantity=first.quantity,
        figures=figures,
        verdicts=tuple(verdicts),
    )


def _pooled(side: Side, figures: Sequence[Figure], like: Measurement) -> Pooled | None:
    if side.board is not None:
        return _of_board(side) if whole_memory(like) and why_unusable(like) is None else None
    usable = [(document, m) for document, m in figures if why_unusable(m) is None]
    summaries = [summary for _, m in usable if (summary := figure_of(m)) is not None]
    if not summaries:
        return None
    medians = [each.median for each in summaries]
    median = statistics.median(medians)
    shares = _shares(median, side.theory) if whole_memory(like) else {}
    return Pooled(
        runs=len({document.run_id for document, _ in usable}),
        median=median,
        low=min(each.low for each in summaries),
        high=max(each.high for each in summaries),
        spread_ratio=(max(medians) - min(medians)) / median if len(medians) > 1 else None,
        flags=ordered(flag for _, m in usable for flag in m.flags),
        **shares,
    )


def _of_board(side: Side) -> Pooled | None:
    theory = side.theory
    if theory is None:
        return None
    peak = theory.peak_bytes_per_second
    return Pooled(runs=0, median=peak, published=published(theory), **_shares(peak, theory))


def _shares(median: float, theory: Theory | None) -> dict[str, Any]:
    if theory is None:
        return {}
    width = theory.bus_width_bits
    return {
        "nominal_ratio": median / theory.peak_bytes_per_second,
        "per_pin_bits_per_second": per_pin_bits_per_second(median, width),
        "per_module_bytes_per_second": module_share_bytes_per_second(median, theory),
    }


def _against_theory(measured: Measurement, base: Pooled | None, figure: Pooled | None) -> Verdict | None:
    """The ratio of two figures of which one is a board's peak; no verdict."""
    if base is None or figure is None:
        return None
    found = Verdict(measured.benchmark, measured.parameters, "NOT COMPARABLE", "", axes=measured.axes)
    ratio = figure.median / base.median
    low, high = (figure.low or figure.median), (figure.high or figure.median)
    return replace(
        found.because(reason("not_a_measurement")),
        ratio=ratio,
        low=low / (base.high or base.median),
        high=high / (base.low or base.median),
        runs_a=base.runs,
        runs_b=figure.runs,
        flags=ordered((*base.flags, *figure.flags)),
    )


def published_beside(row: Row, baseline: int, side: int) -> tuple[PublishedFigure, ...]:
    """A board's published figures of the row's kernel, each with the ratio of the baseline's figure to it."""
    figure, base = row.figures[side], row.figures[baseline]
    if figure is None or base is None:
        return ()
    return beside(figure.published, row.benchmark, base.median)


def _means(rows: Sequence[Row], sides: int) -> list[FamilyMean]:
    found = []
    for family in dict.fromkeys(row.family for row in rows):
        for side in range(sides):
            judged = [row.verdicts[side] for row in rows if row.family == family]
            ratios = [
                (each.ratio, each.low, each.high)
                for each in judged
                if each and each.verdict != "NOT COMPARABLE" and each.ratio and each.low and each.high
            ]
            if ratios:
                ratio, low, high = map(_geometric_mean, zip(*ratios, strict=True))
                found.append(FamilyMean(family, side, ratio, low, high, rows=len(ratios)))
    return found


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
