"""Figures over time as tables, lines, CSV, and charts of characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from typing import Any

from gpubench.comparison.history import Shift, Trend, usable_points
from gpubench.measure.statistics import median
from gpubench.report.text_table import UNKNOWN, Table, clean, in_brackets
from gpubench.results.history import History, HistoryPoint, HistorySeries
from gpubench.results.records import csv_text
from gpubench.units import format_bandwidth, format_percent, format_seconds

CHART_WIDTH, CHART_HEIGHT = 64, 12
"""Columns and lines of a chart, without its labels."""

_COLUMNS = (
    "at", "run_id", "host", "device", "name", "benchmark", "parameters", "axes", "quantity", "unit",
    "median", "low", "high", "flags", "program_version", "driver", "runtime", "platform",
    "kernel_source_hash",
)  # fmt: skip


def newest_first(history: History) -> list[tuple[HistorySeries, HistoryPoint]]:
    """All figures with their series; those of one run stand together."""
    found = [(series, point) for series in history.series for point in series.points]
    return sorted(found, key=lambda each: (each[1].at, each[1].run_id), reverse=True)


def figure_table(history: History) -> Table:
    labels = _labels(history.series)
    rows = tuple(
        (
            _time(point.at),
            clean(series.device),
            labels[id(series)],
            _figure(series, point.median),
            f"{_figure(series, point.low)} to {_figure(series, point.high)}",
            clean(", ".join(point.flags)) or UNKNOWN,
            clean(point.run_id),
        )
        for series, point in newest_first(history)
    )
    columns = ("ended (UTC)", "device", "benchmark", "median", "95 % interval", "flags", "run")
    return Table("Figures", columns, rows, 3, 2)


def trend_table(trends: Sequence[Trend]) -> Table:
    labels = _labels([trend.series for trend in trends])
    rows = tuple(
        (
            clean(trend.series.device),
            labels[id(trend.series)],
            str(trend.figures),
            _figure(trend.series, trend.median),
            _figure(trend.series, trend.last),
            _verdict(trend),
        )
        for trend in trends
    )
    columns = ("device", "benchmark", "figures", "median", "last", "changes")
    return Table("Trends", columns, rows, 2, 1)


def shift_lines(trends: Sequence[Trend]) -> list[str]:
    """A sentence for each change of each series."""
    labels = _labels([trend.series for trend in trends])
    return [
        clean(f"{trend.series.device} {labels[id(trend.series)]}: {_sentence(trend.series, shift)}")
        for trend in trends
        for shift in trend.shifts
    ]


def summary_line(trend: Trend) -> str:
    """The series' figures in one sentence: how many, the median, and the last."""
    if trend.median is None:
        return "no figures"
    median, last = (_figure(trend.series, value) for value in (trend.median, trend.last))
    changes = (
        "" if trend.shifts else (", no change found" if trend.enough else ", too few to look for changes")
    )
    return f"{trend.figures} figures, median {median}, last {last}{changes}"


def point_table(trend: Trend, run_ids: Set[str]) -> Table:
    """The figures of these runs that count, oldest first."""
    rows = tuple(
        (
            _time(point.at),
            _figure(trend.series, point.median),
            f"{_figure(trend.series, point.low)} to {_figure(trend.series, point.high)}",
            clean(point.run_id),
        )
        for point in usable_points(trend.series)
        if point.run_id in run_ids
    )
    columns = ("ended (UTC)", "median", "95 % interval", "run")
    return Table(chart_title(trend), columns, rows, 1, 1)


def history_csv(history: History) -> str:
    """One row for each figure, oldest first; parameters and axes are JSON, flags are joined by commas."""
    rows = []
    for series, point in reversed(newest_first(history)):
        cells: dict[str, Any] = {name: getattr(series, name, None) for name in _COLUMNS}
        cells |= {name: getattr(point, name) for name in _COLUMNS if hasattr(point, name)}
        cells |= {name: json.dumps(cells[name], sort_keys=True) for name in ("parameters", "axes")}
        rows.append({**cells, "flags": ",".join(point.flags)})
    return csv_text(_COLUMNS, rows)


def chart(trend: Trend, width: int = CHART_WIDTH, height: int = CHART_HEIGHT) -> list[str]:
    """The series as lines of text: a dot for each figure, or for the median of neighbours, in their order.

    A shift is a vertical line. Figures that flags disqualify are not drawn. Empty if none is left.
    """
    series, points = trend.series, usable_points(trend.series)
    if not points:
        return []
    size = -(-len(points) // width)
    values = [median([point.median for point in points[i : i + size]]) for i in range(0, len(points), size)]
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or high * 0.01
    low, high = low - room, high + room
    rows = [[" "] * len(values) for _ in range(height)]
    times = [point.at for point in points]
    for shift in trend.shifts:
        if shift.kind == "shift":
            for row in rows:
                row[times.index(shift.after_at) // size] = "┊"
    for column, value in enumerate(values):
        rows[round((high - value) / (high - low) * (height - 1))][column] = "●"
    labels = [_figure(series, high - (high - low) * line / (height - 1)) for line in range(height)]
    margin = max(map(len, labels))
    lines = [
        f"{labels[line] if line % 3 == 0 or line == height - 1 else '':>{margin}} ┤{''.join(row).rstrip()}"
        for line, row in enumerate(rows)
    ]
    begin, end = _time(points[0].at)[:10], _time(points[-1].at)[:10]
    between = max(len(values) - len(begin) - len(end), 1)
    return [*lines, f"{'':>{margin}} └{'─' * len(values)}", f"{'':>{margin + 2}}{begin}{' ' * between}{end}"]


def chart_title(trend: Trend) -> str:
    series = trend.series
    host = f" on {series.host}" if series.host else ""
    name = f"{series.device} ({series.name}{host})"
    settings = {
        key: value for key, value in (*series.parameters.items(), *series.axes.items()) if value is not None
    }
    count = f"{trend.figures} figures" + (
        f", {trend.flagged} left out for their flags" if trend.flagged else ""
    )
    return clean(f"{name}, {series.benchmark}{in_brackets(settings)}: {count}")


def _sentence(series: HistorySeries, shift: Shift) -> str:
    word = ("fell" if shift.ratio < 1 else "rose") + f" by {format_percent(abs(shift.ratio - 1))}"
    interval = " to ".join(f"{100 * (ratio - 1):+.1f}" for ratio in (shift.low, shift.high))
    figures = f"from {_figure(series, shift.before)} to {_figure(series, shift.after)}"
    between = f"{_time(shift.earliest_at)} to {_time(shift.latest_at)}"
    when = (
        f"at {_time(shift.after_at)} (run {shift.run_id}; {between})"
        if shift.kind == "shift"
        else f"gradually, {between}"
    )
    noted = f"; at that time changed: {'; '.join(shift.noted)}" if shift.noted else ""
    speed = "slower" if shift.slower else "faster"
    return (
        f"{word} ({interval} %), {figures}, {speed}, {when}; confidence {100 * shift.confidence:g} %{noted}"
    )


def _verdict(trend: Trend) -> str:
    if not trend.enough:
        return "too few figures"
    if not trend.shifts:
        return "none"
    last = trend.shifts[-1]
    count = f"{len(trend.shifts)}, the last " if len(trend.shifts) > 1 else ""
    return f"{count}{100 * (last.ratio - 1):+.1f} % at {_time(last.after_at)[:10]}"


def _labels(series: Iterable[HistorySeries]) -> dict[int, str]:
    """Each series' benchmark, with the settings that others of this benchmark have otherwise."""
    groups: dict[str, list[HistorySeries]] = {}
    for each in series:
        groups.setdefault(each.benchmark, []).append(each)
    return {
        id(each): clean(each.benchmark + in_brackets({k: v for k, v in _apart(each).items() if k in names}))
        for group in groups.values()
        for names in [_differing([_apart(one) for one in group])]
        for each in group
    }


def _apart(series: HistorySeries) -> dict[str, object]:
    return {
        "host": series.host or UNKNOWN,
        "board": series.name,
        **series.parameters,
        **series.axes,
        "runtime": series.runtime,
        "platform": series.platform or UNKNOWN,
        "kernels": series.kernel_source_hash[:7],
    }


def _differing(settings: Sequence[dict[str, object]]) -> set[str]:
    names = {name for each in settings for name in each}
    return {name for name in names if len({str(each.get(name)) for each in settings}) > 1}


def _figure(series: HistorySeries, value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return format_seconds(value) if series.quantity == "latency" else format_bandwidth(value)


def _time(timestamp: str) -> str:
    return clean(timestamp[:19].replace("T", " "))
