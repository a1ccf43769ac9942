"""More runs than colours: a line for each, in the benchmark that most of them have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubench.comparison.compare import Result
from gpubench.report.figures.look import NARROW, NUMBER, altair, device_color, finished
from gpubench.report.figures.model import Figure, Row, drawable, result_row, sentence
from gpubench.report.headline import common_benchmark, figure_in, verdict_lines
from gpubench.report.subject import Entry, Subject
from gpubench.report.text_table import Table, percent_cell
from gpubench.units import format_bandwidth

if TYPE_CHECKING:
    import altair as alt

_TAIL = "length(datum.label) > {most} ? '…' + slice(datum.label, 1 - {most}) : datum.label"
"""The end of a long label."""


def fleet(subject: Subject) -> Figure:
    """A line for each run of a fleet, in one benchmark."""
    benchmark = common_benchmark(subject)
    found: list[tuple[Entry, Result]] = [
        (entry, result)
        for entry in subject.entries
        if (result := figure_in(entry.comparison, benchmark)) is not None
        and drawable(result.bandwidth.median)
    ]
    found.sort(key=lambda pair: pair[1].bandwidth.median)
    rows = [result_row(entry, result, benchmark) for entry, result in found]
    cells = tuple(
        (
            entry.label,
            format_bandwidth(result.bandwidth.median),
            percent_cell(result.nominal_ratio),
            ", ".join(result.flags) or "none",
        )
        for entry, result in found
    )
    return Figure(
        name="bandwidth",
        title=f"All runs, {benchmark}",
        caption="A dot for each run, slowest first, with the 95 % interval of its median.",
        words=sentence(verdict_lines(subject)),
        rows=rows,
        tables=[
            Table(
                f"All runs, {benchmark}",
                ("device", benchmark or "", "of theory", "flags"),
                cells,
                last_text=1,
            )
        ],
        draw=lambda width: finished(_dots(subject, rows, width), width),
    )


def _dots(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots = {each.label: each.slot for each in subject.entries}
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y(
            "device:N",
            sort=[row["device"] for row in rows],
            title=None,
            # Vega's own limit measures every label many times, and cuts off the end, which tells twins apart.
            axis=alt.Axis(labelLimit=0, labelExpr=_TAIL.format(most=22 if width < NARROW else 44)),
        ),
        color=device_color(slots, legend=False),
    )
    x = alt.X(
        "bandwidth_gb_per_second:Q",
        title="GB/s",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format=NUMBER, tickCount=6, orient="top"),
    )
    return alt.layer(  # type: ignore[no-any-return]
        base.mark_rule(strokeWidth=2).encode(x="low_gb_per_second:Q", x2="high_gb_per_second:Q"),
        base.mark_point(filled=True, size=40, opacity=1).encode(x=x),
    ).properties(width=width, height=alt.Step(14))
