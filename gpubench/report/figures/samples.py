"""The samples of each figure: how they spread, and whether they fall into groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubench.comparison.compare import Result
from gpubench.report.figures.look import NUMBER, altair, device_color, finished
from gpubench.report.figures.model import Figure, Row, drawable, first_groups, sentence, thinned
from gpubench.report.subject import Entry, Subject, shortened
from gpubench.report.text_table import Table, label
from gpubench.units import GB, format_bandwidth, number, to_gb_per_second

if TYPE_CHECKING:
    import altair as alt

_QUANTILES = 40
"""Ticks that stand for the samples of a figure, each for the same share of them."""


def samples(subject: Subject) -> Figure:
    rows = first_groups([row for entry in subject.drawn for row in _quantiles(entry)], "benchmark")
    spread = [
        f"{entry.label}, {label(each)}: {_range(each)}"
        for entry in subject.drawn
        for each in entry.comparison.results
    ]
    table_rows = tuple(
        (
            entry.label,
            label(each),
            *(number(to_gb_per_second(value)) for value in _spread(each)),
            str(len(each.measurement.samples_seconds)),
        )
        for entry in subject.drawn
        for each in entry.comparison.results
    )
    columns = ("device", "benchmark", "lowest", "5 %", "median", "95 %", "highest", "samples")
    return Figure(
        name="samples",
        title="The samples",
        caption=f"Each thin line stands for one in {_QUANTILES} of the samples, the thick one is the 95 % "
        "interval of the median, and the dot the median. Two clusters are a device that "
        "changes between two speeds.",
        words=sentence(spread),
        rows=thinned(rows),
        tables=[Table("Samples, GB/s", columns, table_rows, 2)],
        draw=lambda width: finished(_ticks(subject, rows, width), width),
    )


def _spread(result: Result) -> tuple[float, ...]:
    found = result.bandwidth
    return found.min, found.p5, found.median, found.p95, found.max


def _range(result: Result) -> str:
    return f"{format_bandwidth(result.bandwidth.min)} to {format_bandwidth(result.bandwidth.max)}"


def _quantiles(entry: Entry) -> list[Row]:
    rows: list[Row] = []
    for result in entry.comparison.results:
        moved, summary = result.measurement.bus_bytes, result.bandwidth
        usable = [seconds for seconds in result.measurement.samples_seconds if seconds > 0]
        common = {"device": entry.label, "benchmark": shortened(label(result), 60)}
        middle = {
            "median_gb_per_second": summary.median / GB,
            "low_gb_per_second": summary.low / GB,
            "high_gb_per_second": summary.high / GB,
        }
        if not moved or not usable or not drawable(summary.median, summary.low, summary.high):
            continue
        rates = sorted(rate for seconds in usable if drawable(rate := moved / seconds / GB) and rate)
        count = min(_QUANTILES, len(rates))
        rows += [
            {
                **common,
                "sample_gb_per_second": rates[(2 * place + 1) * len(rates) // (2 * count)],
                **({} if place else middle),
            }
            for place in range(count)
        ]
    return rows


def _ticks(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots = {each.label: each.slot for each in subject.drawn if each.comparison.results}
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    several = len(slots) > 1
    base = alt.Chart().encode(
        y=alt.Y("benchmark:N", sort=benchmarks, title=None), color=device_color(slots, legend=False)
    )
    sample = alt.X(
        "sample_gb_per_second:Q",
        title="GB/s",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(format=NUMBER, tickCount=6),
    )
    once = base.transform_filter("isValid(datum.median_gb_per_second)")
    chart = alt.layer(
        base.mark_tick(opacity=0.55, thickness=1).encode(x=sample),
        once.mark_rule(strokeWidth=4).encode(x="low_gb_per_second:Q", x2="high_gb_per_second:Q"),
        once.mark_point(filled=True, size=70, opacity=1, stroke="white").encode(x="median_gb_per_second:Q"),
    ).properties(width=width - 90 if several else width, height=alt.Step(26))
    data = alt.Data(values=rows)
    if not several:
        return chart.properties(data=data)  # type: ignore[no-any-return]
    # Each device on an axis of its own: beside a fast one, a slow one's spread would be a dot.
    return chart.facet(  # type: ignore[no-any-return]
        facet=alt.Facet("device:N", sort=list(slots)), columns=1, data=data
    ).resolve_scale(x="independent")
