"""The tables of a report, as text in cells, for every output format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gpubench import units
from gpubench.comparison.compare import Comparison, Result
from gpubench.comparison.references import HEADLINES, Reference
from gpubench.flags import flags_with
from gpubench.report.text_table import (
    UNKNOWN,
    Table,
    bits_cell,
    clean,
    flagged,
    interval_cell,
    interval_of,
    label,
    or_unknown,
    percent_cell,
    point_label,
)


def measurements(comparison: Comparison) -> Table:
    columns = (
        "benchmark", "GB/s", "95 % interval", "of theory", "at live clock", "Gbit/s per pin",
        "GB/s per module", "whole memory", "samples", "flags",
    )  # fmt: skip
    rows = tuple(
        (
            label(result),
            units.number(units.to_gb_per_second(result.bandwidth.median)),
            interval_of(result),
            percent_cell(result.nominal_ratio),
            percent_cell(result.live_clock_ratio),
            or_unknown(result.per_pin_bits_per_second, lambda rate: f"{units.to_gbit_per_second(rate):.2f}"),
            or_unknown(
                result.per_module_bytes_per_second, lambda rate: units.number(units.to_gb_per_second(rate))
            ),
            or_unknown(result.sweep_seconds, units.format_seconds),
            str(len(result.measurement.samples_seconds)),
            ", ".join(result.flags) or "none",
        )
        for result in comparison.results
    )
    return Table("Measured", columns, rows, last_text=1)


def excluded(comparison: Comparison) -> Table:
    """Measurements that should have given a figure and did not."""
    rows = tuple(
        (point_label(each.measurement), clean(each.measurement.status), clean(each.reason))
        for each in comparison.excluded
        if not each.skipped
    )
    return Table("Without a figure", ("benchmark", "status", "why"), rows, 3)


def skipped(comparison: Comparison) -> Table:
    """What this device or runtime does not support."""
    rows = tuple(
        (point_label(each.measurement), clean(each.reason)) for each in comparison.excluded if each.skipped
    )
    return Table("Skipped here", ("benchmark", "why"), rows, 2)


def references(comparison: Comparison, results: Sequence[Result], *, brief: bool = False) -> Table:
    """A row for each reference, a column for each of these results; flags are in the heading.

    ``brief`` is for one result, which the title names; if there are several bus widths, it has only the
    narrowest.
    """
    title = "Against references"
    if not results:
        return Table(title, ("reference",), ())
    columns = ["reference", "bus", "peak GB/s", "own theory"]
    headings = [flagged(label(each), each.flags) for each in results]
    if brief:
        title, headings = f"{title}: {', '.join(headings)}", [label(each) for each in results]
    columns += headings
    of_each = [(*_narrowest(each.references, brief), *each.boards) for each in results]
    rows = tuple(_reference_row(same) for same in zip(*of_each, strict=True))
    return Table(title, tuple(columns), rows)


def projections(comparison: Comparison) -> Table:
    """What another memory would deliver on this bus: theory x the efficiency measured here."""
    columns = ("benchmark", "memory", "theory GB/s", "projected GB/s", "interval")
    rows = tuple(
        (
            flagged(label(result), result.flags),
            f"{each.label} (projected)",
            units.number(units.to_gb_per_second(each.peak_bytes_per_second)),
            units.number(units.to_gb_per_second(each.median_bytes_per_second)),
            interval_cell(result.measurement, each.low_bytes_per_second, each.high_bytes_per_second),
        )
        for result in comparison.results
        for each in result.projections
    )
    return Table("Projected, not measured", columns, rows, 2)


def published(comparison: Comparison) -> Table:
    """Published figures of the same board; the ratio is the figure here over theirs, for the same kernel."""
    ratios = defaultdict(list)
    for result in comparison.results:
        for figure in result.published:
            if figure.measured_ratio is not None:
                ratio = f"{label(result)} {units.format_ratio(figure.measured_ratio)}"
                ratios[replace(figure, measured_ratio=None)].append(flagged(ratio, result.flags))
    rows = tuple(
        (
            figure.tool,
            figure.kernel,
            figure.counting or UNKNOWN,
            figure.grade,
            figure.source,
            units.number(units.to_gb_per_second(figure.bandwidth_bytes_per_second)),
            ", ".join(ratios[figure]) or UNKNOWN,
        )
        for figure in comparison.published
    )
    columns = ("tool", "kernel", "counts", "grade", "source", "GB/s", "here / there")
    return Table("Published figures of this board", columns, rows, 5)


def claims(comparisons: Sequence[Comparison]) -> Table:
    found = dict.fromkeys(claim for comparison in comparisons for claim in comparison.claims)
    rows = tuple((claim.date, claim.vendor, claim.text, claim.baseline, claim.source) for claim in found)
    return Table("Claims of vendors", ("date", "vendor", "claim", "against", "source"), rows, 5)


def headline(results: Sequence[Result]) -> Result | None:
    """The one figure that represents a run; of several of one benchmark that with the highest low end.

    A flagged figure counts behind one of the same benchmark without a flag. One that is not comparable is
    taken only if there is no other. The low end decides because the median of a series in two groups may be
    in the upper one by chance.
    """

    def standing(result: Result) -> tuple[bool, int, bool, float]:
        name = result.benchmark
        rank = HEADLINES.index(name) if name in HEADLINES else len(HEADLINES)
        return is_comparable(result), -rank, not result.flags, result.bandwidth.low

    return max(results, key=standing, default=None)


def is_comparable(result: Result) -> bool:
    """Whether the figure is the memory's own."""
    return not flags_with("not_comparable", result.flags)


def _narrowest(found: Sequence[Reference], brief: bool) -> list[Reference]:
    width = min((each.bus_width_bits for each in found), default=0)
    return [each for each in found if not brief or each.bus_width_bits == width]


def _reference_row(same: Sequence[Reference]) -> tuple[str, ...]:
    first = same[0]
    return (
        first.label,
        bits_cell(first.bus_width_bits),
        units.number(units.to_gb_per_second(first.peak_bytes_per_second)),
        or_unknown(first.theory_ratio, units.format_ratio),
        *(units.format_ratio(each.measured_ratio) for each in same),
    )
