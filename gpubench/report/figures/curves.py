"""Charts of curves: lines on logarithmic axes, bars, and the map of the memory."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from gpubench.report.curves import MAX_POINTS, curve_table
from gpubench.report.figures.look import (
    DASHES,
    NARROW,
    NUMBER,
    SHAPES,
    altair,
    device_color,
    finished,
    number_axis,
    size_axis,
)
from gpubench.report.figures.model import Figure, Row, Spec, sentence
from gpubench.report.figures.points import Drawn, drawn_curves
from gpubench.report.palette import INK, MUTED
from gpubench.report.subject import Subject, shortened
from gpubench.report.text_table import Table
from gpubench.units import GB

if TYPE_CHECKING:
    import altair as alt

_MAP_COLUMNS = 16
_MAP_REACH = 0.05
"""The colours of a map reach so far to both sides of the median slice, or as far as the slices do."""
_TWO_LINES = 2
"""More series than these are drawn beside each other: one colour with five dashes cannot be read."""


def curve_charts(subject: Subject) -> list[Figure]:
    """A figure for each benchmark with curves."""
    return [_figure(drawn, subject) for drawn in drawn_curves(subject)]


def _figure(drawn: Drawn, subject: Subject) -> Figure:
    peaks = _peaks(drawn, subject)

    def draw(width: int) -> Spec:
        makers = {"line": _lines, "bars": _bars, "map": _map}
        return finished(makers[drawn.style.kind](drawn, peaks, width), width)

    return Figure(
        name=shortened(drawn.benchmark),
        title=shortened(drawn.style.title),
        caption=drawn.style.caption,
        words=sentence([*_extremes(drawn), *drawn.found]),
        rows=drawn.rows,
        tables=_tables(drawn),
        draw=draw,
        findings=drawn.found,
    )


def _extremes(drawn: Drawn) -> list[str]:
    """The lowest and the highest point of each line."""
    column, told = drawn.value.column, []
    for name in dict.fromkeys((row["device"], row["series"]) for row in drawn.rows):
        values = [row[column] for row in drawn.rows if (row["device"], row["series"]) == name]
        told.append(
            f"{', '.join(filter(None, name))}: {min(values):.4g} to {max(values):.4g} {drawn.value.unit}"
        )
    return told


def _tables(drawn: Drawn) -> list[Table]:
    found = []
    for entry in drawn.entries:
        for curve in entry.comparison.curves:
            if curve.benchmark == drawn.benchmark and curve.is_latency == (
                drawn.value.column == "latency_ns"
            ):
                table = curve_table(curve, MAX_POINTS)
                titled = f"{entry.label}: {table.title}" if len(drawn.entries) > 1 else table.title
                found.append(replace(table, title=titled))
    return found


def _peaks(drawn: Drawn, subject: Subject) -> list[Row]:
    """The theory of the memories, as lines across."""
    if not drawn.style.peaks:
        return []
    own = [
        {"device": entry.label, "peak": entry.theory.peak_bytes_per_second / GB}
        for entry in drawn.entries
        if entry.theory
    ]
    return own + [{"device": each.label, "peak": each.peak_bytes_per_second / GB} for each in subject.boards]


def _lines(drawn: Drawn, peaks: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    series = drawn.series
    beside = len(series) > _TWO_LINES
    columns = 1 if width < NARROW else min(3, len(series))
    inner = (width - 30 * columns) // columns - 40 if beside else width - 70
    color = device_color(drawn.slots)
    base = alt.Chart().encode(x=_x_axis(drawn, width if not beside else inner), color=color)
    y = number_axis("Y", drawn.value.column, drawn.value.title, _heights(drawn), log=drawn.style.log_y)
    told: dict[str, Any] = {}
    if len(series) > 1 and not beside:
        told["strokeDash"] = alt.StrokeDash(
            "series:N", scale=alt.Scale(domain=series, range=list(DASHES[: len(series)])), legend=alt.Legend()
        )
    shape = (
        {"shape": alt.Shape("series:N", scale=alt.Scale(domain=series, range=list(SHAPES[: len(series)])))}
        if told
        else {}
    )
    layers = [
        base.mark_rule(opacity=0.35, strokeWidth=1.5).encode(
            y=alt.Y(f"{drawn.value.low}:Q", title=drawn.value.title), y2=f"{drawn.value.high}:Q"
        ),
        base.mark_line(strokeWidth=2).encode(y=y, **told),
        base.mark_point(filled=True, size=28, opacity=1).encode(y=y, **shape),
    ]
    height = 300 if width >= NARROW else 240
    if beside:
        small = alt.layer(*layers).properties(width=inner, height=int(height * 0.6))
        return small.facet(  # type: ignore[no-any-return]
            facet=alt.Facet("series:N", sort=series), columns=columns, data=alt.Data(values=drawn.rows)
        ).resolve_axis(x="independent")
    layers += _across(peaks, width) + _steps(drawn)
    return alt.layer(*layers, data=alt.Data(values=drawn.rows)).properties(  # type: ignore[no-any-return]
        width=inner, height=height
    )


def _heights(drawn: Drawn) -> list[float]:
    return [row[name] for row in drawn.rows for name in (drawn.value.low, drawn.value.high)]


def _x_axis(drawn: Drawn, width: int) -> Any:
    column, style = drawn.x, drawn.style
    values = [float(row[column]) for row in drawn.rows]
    title = drawn.x_title
    if column.endswith("_bytes") and style.log_x:
        return size_axis(column, title, values, width)
    return number_axis("X", column, title, values, log=style.log_x)


def _across(peaks: list[Row], width: int) -> list[Any]:
    """The theory, named at the right end of its line."""
    if not peaks:
        return []
    alt = altair()
    rows = [{**row, "name": f"theory of {row['device']}" if len(peaks) > 1 else "theory"} for row in peaks]
    base = alt.Chart(alt.Data(values=rows)).encode(y="peak:Q")
    return [
        base.mark_rule(color=MUTED, strokeDash=[2, 3], strokeWidth=1.5),
        base.mark_text(
            color=MUTED, align="right", baseline="bottom", dx=-4, fontSize=11, limit=width * 0.5
        ).encode(x=alt.value("width"), text="name:N"),
    ]


def _steps(drawn: Drawn) -> list[Any]:
    """Where caches end, as the run's findings say; of several devices the steps would cover each other."""
    alt = altair()
    ends = [
        (each.value, _level(each.name))
        for _, each in drawn.findings
        if each.name.endswith("_end") and each.unit == "byte" and each.value and each.value > 0
    ]
    if not ends or len(drawn.entries) > 1 or not drawn.x.endswith("_bytes"):
        return []
    merged: dict[float, list[str]] = {}
    for end, level in ends:
        merged.setdefault(end, []).append(level)
    rows = [
        {"end": end, "level": f"{' and '.join(dict.fromkeys(names))} ends"} for end, names in merged.items()
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x="end:Q")
    return [
        base.mark_rule(color=MUTED, strokeDash=[4, 3]),
        base.mark_text(color=INK, angle=270, align="right", baseline="bottom", dy=-2, fontSize=11).encode(
            y=alt.value(4), text="level:N"
        ),
    ]


def _level(name: str) -> str:
    """``L2`` for ``l2_end``, ``read L2`` for ``read_l2_end``."""
    *kernel, level = name.removesuffix("_end").split("_")
    return shortened(" ".join([*kernel, level.upper()]), 24)


def _bars(drawn: Drawn, peaks: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    places = list(dict.fromkeys(str(row[drawn.x]) for row in drawn.rows))
    several = len(drawn.slots) > 1
    offset = {"yOffset": alt.YOffset("device:N", sort=list(drawn.slots))} if several else {}
    base = alt.Chart().encode(y=alt.Y(f"{drawn.x}:N", sort=places, title=drawn.x_title), **offset)
    figure = alt.X(
        f"{drawn.value.column}:Q", title=drawn.value.title, axis=alt.Axis(format=NUMBER, tickCount=6)
    )
    chart = alt.layer(
        base.mark_bar(opacity=0.85).encode(x=figure, color=device_color(drawn.slots)),
        base.mark_rule(strokeWidth=2, color=INK).encode(x=f"{drawn.value.low}:Q", x2=f"{drawn.value.high}:Q"),
    ).properties(width=width - 150, height=alt.Step(14 if several else 22))
    data = alt.Data(values=drawn.rows)
    if len(drawn.series) == 1:
        return chart.properties(data=data)  # type: ignore[no-any-return]
    return chart.facet(  # type: ignore[no-any-return]
        facet=alt.Facet("series:N", sort=drawn.series), columns=1, data=data
    )


def _map(drawn: Drawn, peaks: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    placed = [row for row in drawn.rows if isinstance(row[drawn.x], int | float)]
    usual = {
        device: median(row[drawn.value.column] for row in placed if row["device"] == device)
        for device in {row["device"] for row in placed}
    }
    rows = [
        {
            "device": row["device"],
            "column": int(row[drawn.x]) % _MAP_COLUMNS,
            "line": int(row[drawn.x]) // _MAP_COLUMNS,
            "share": row[drawn.value.column] / usual[row["device"]],
        }
        for row in placed
    ]
    shares = [1 - _MAP_REACH, 1 + _MAP_REACH, *(row["share"] for row in rows)]
    several = len(drawn.slots) > 1
    columns = 1 if width < NARROW else 2
    inner = (width // columns - 60) if several else min(width - 90, 420)
    lines = 1 + max((row["line"] for row in rows), default=0)
    chart = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=None),
            y=alt.Y("line:O", axis=None),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(scheme="cividis", domain=[min(shares), max(shares)]),
                legend=alt.Legend(
                    title="of the median slice",
                    format=".0%",
                    orient="bottom",
                    direction="horizontal",
                    gradientLength=200,
                ),
            ),
        )
        .properties(width=inner, height=max(20, inner * min(lines, _MAP_COLUMNS) // _MAP_COLUMNS))
    )
    data = alt.Data(values=rows)
    if not several:
        return alt.vconcat(chart, data=data)  # type: ignore[no-any-return]
    return chart.facet(  # type: ignore[no-any-return]
        facet=alt.Facet("device:N", sort=list(drawn.slots)), columns=columns, data=data
    )
