"""Figures over time: a chart for each series, with the level of its figures and where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpubench.comparison.history import Trend, usable_points
from gpubench.report import history as words
from gpubench.report import palette
from gpubench.report.figures.look import NARROW, altair, finished, number_axis
from gpubench.report.figures.model import Figure, Row, drawable, sentence, thinned
from gpubench.report.figures.points import BANDWIDTH, LATENCY, Value
from gpubench.report.subject import shortened
from gpubench.results.timestamps import milliseconds, timestamp
from gpubench.units import format_percent

if TYPE_CHECKING:
    import altair as alt

MAX_POINTS = 1000
"""Of a chart: a page has twenty of them, each in two widths."""


def history_figures(trends: Sequence[Trend]) -> list[Figure]:
    """One for each series that has figures to draw, in their order."""
    made = [_figure(number, trend) for number, trend in enumerate(trends)]
    return [each for each in made if each.rows]


def _figure(number: int, trend: Trend) -> Figure:
    value = LATENCY if trend.series.quantity == "latency" else BANDWIDTH
    every = [
        {
            "at": timestamp(at),
            value.column: point.median * value.scale,
            value.low: point.low * value.scale,
            value.high: point.high * value.scale,
            "run_id": point.run_id,
        }
        for point in usable_points(trend.series)
        if (at := milliseconds(point.at)) is not None and drawable(point.median, point.low, point.high)
    ]
    rows: list[Row] = thinned(every, MAX_POINTS)
    some = f" {len(rows)} of {len(every)} figures are drawn." if len(rows) < len(every) else ""
    better = "Lower" if value is LATENCY else "Higher"
    lines = words.shift_lines([trend])
    return Figure(
        name=f"history-{number}",
        title=shortened(words.chart_title(trend), 200),
        caption=f"A dot for each run, with the 95 % interval of its median; the line is the level between "
        f"changes. {better} is better.{some}",
        words=sentence([words.summary_line(trend), *lines]),
        rows=rows,
        tables=[words.point_table(trend, {row["run_id"] for row in rows})],
        draw=lambda width: finished(_chart(trend, rows, value, width), width),
        findings=lines,
    )


def _chart(trend: Trend, rows: Sequence[Row], value: Value, width: int) -> alt.TopLevelMixin:
    alt = altair()
    color = palette.LIGHT[palette.slots({trend.series.name: trend.series.name})[trend.series.name]]
    x = alt.X(
        "at:T",
        title="end of the run, UTC",
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(grid=False, tickCount=4 if width < NARROW else 8),
    )
    base = alt.Chart(alt.Data(values=list(rows))).encode(x=x)
    y = number_axis("Y", value.column, value.title, [], log=False, zero=False)
    layers = [
        base.mark_rule(color=color, opacity=0.3).encode(y=f"{value.low}:Q", y2=f"{value.high}:Q"),
        base.mark_point(filled=True, size=18, opacity=0.9, color=color).encode(y=y),
    ]
    if level := _level(trend, value):
        line = alt.Chart(alt.Data(values=level)).mark_line(color=palette.INK, strokeWidth=1.5)
        layers.append(line.encode(x="at:T", y=f"{value.column}:Q", order="place:Q"))
    if marks := _marks(trend):
        changes = alt.Chart(alt.Data(values=marks)).encode(x="at:T")
        layers += [
            changes.mark_rule(color=palette.MUTED, strokeDash=[2, 3]),
            changes.mark_text(color=palette.INK, align="left", dx=4, fontSize=11).encode(
                y=alt.value(6), text="change:N"
            ),
        ]
    return alt.layer(*layers).properties(width=width, height=220)  # type: ignore[no-any-return]


def _level(trend: Trend, value: Value) -> list[Row]:
    """Corners of the line that the figures follow: steps at shifts, slopes along drifts."""
    points = usable_points(trend.series)
    if not points or trend.median is None or not trend.enough:
        return []
    first = trend.shifts[0].before if trend.shifts else trend.median
    corners = [(points[0].at, first)]
    for shift in trend.shifts:
        steps = shift.kind == "shift"
        corners.append((shift.after_at if steps else shift.earliest_at, shift.before))
        corners.append((shift.after_at if steps else shift.latest_at, shift.after))
    corners.append((points[-1].at, corners[-1][1]))
    return [
        {"at": timestamp(at), value.column: level * value.scale, "place": place}
        for place, (text, level) in enumerate(corners)
        if (at := milliseconds(text)) is not None and drawable(level)
    ]


def _marks(trend: Trend) -> list[Row]:
    return [
        {
            "at": timestamp(at),
            "change": f"{'+' if shift.ratio > 1 else '−'}{format_percent(abs(shift.ratio - 1))}",
        }
        for shift in trend.shifts
        if (at := milliseconds(shift.after_at)) is not None
    ]
