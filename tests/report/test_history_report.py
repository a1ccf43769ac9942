"""Figures over time as people see them; names from documents are hostile until they are cleaned."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpubench.comparison.history import Shift, Trend, trend_of
from gpubench.report.history import (
    CHART_HEIGHT,
    CHART_WIDTH,
    chart,
    chart_title,
    figure_table,
    history_csv,
    newest_first,
    shift_lines,
    trend_table,
)
from gpubench.results.history import History, HistoryPoint, HistorySeries
from tests.comparison.test_history import series


def test_a_shift_as_a_sentence() -> None:
    (line,) = shift_lines([trend_of(series())])
    assert line.startswith("cuda:0 triad: fell by ")
    for part in (
        "slower, at 2026-03-02 00:00:00 (run run-60;",
        "confidence 99.99 %",
        "driver: 595.10, then 600.1",
    ):
        assert part in line


@pytest.mark.parametrize("count", [1, 2, CHART_WIDTH, CHART_WIDTH + 1, 1000])
def test_a_chart_has_its_size_whatever_the_number_of_figures(count: int) -> None:
    lines = chart(trend_of(series(count, ratio=1)))
    assert len(lines) == CHART_HEIGHT + 2
    assert all(len(line) <= CHART_WIDTH + 30 for line in lines)
    drawn = sum(line.count("●") for line in lines[:CHART_HEIGHT])
    assert drawn == -(-count // -(-count // CHART_WIDTH))
    assert "2026-01-01" in lines[-1]


def test_a_chart_shows_where_the_shift_is() -> None:
    lines = chart(trend_of(series(60, at=40)))
    columns = {line.index("┊") for line in lines if "┊" in line}
    assert columns == {lines[0].index("┤") + 1 + 40}
    first, last = (
        [n for n, line in enumerate(lines[:CHART_HEIGHT]) if line[at : at + 20].count("●")] for at in (15, 55)
    )
    assert max(first) < min(last)  # all that is before stands higher than all that is after


def test_equal_figures_and_none() -> None:
    flat = series(30, ratio=1)
    flat = replace(flat, points=[replace(point, median=1500.0) for point in flat.points])
    assert sum(line.count("●") for line in chart(trend_of(flat))) == 30
    assert chart(trend_of(series(0))) == []


def test_labels_have_what_is_apart_alone() -> None:
    first, second = series(30, ratio=1), series(30)
    first = replace(first, parameters={"dtype": "float", "seed": None}, kernel_source_hash="b" * 64)
    second = replace(second, parameters={"dtype": "double", "seed": None}, kernel_source_hash="b" * 64)
    rows = trend_table([trend_of(first), trend_of(second)]).rows
    assert [row[1] for row in rows] == ["triad (dtype float)", "triad (dtype double)"]
    (alone,) = trend_table([trend_of(first)]).rows
    assert alone[1] == "triad"


def test_too_few_figures_are_no_sign_of_health() -> None:
    assert trend_table([trend_of(series(10))]).rows[0][-1] == "too few figures"
    assert trend_table([trend_of(series(100, ratio=1))]).rows[0][-1] == "none"


def test_csv_has_a_row_for_each_figure_oldest_first() -> None:
    hostile = replace(series(3), name='a "board",\nof 2 lines', parameters={"b": 1, "a": None})
    rows = list(csv.DictReader(io.StringIO(history_csv(History([hostile])))))
    assert [row["run_id"] for row in rows] == ["run-0", "run-1", "run-2"]
    assert rows[0]["name"] == hostile.name
    assert json.loads(rows[0]["parameters"]) == {"a": None, "b": 1}
    assert float(rows[2]["median"]) == hostile.points[2].median
    assert rows[0]["host"] == ""


def test_names_are_one_line_of_text() -> None:
    bad = "x\x1b[2J\n[red]y\u202e"
    hostile = replace(series(60), name=bad, device=bad, benchmark=bad, host=bad, parameters={bad: bad})
    other = replace(hostile, parameters={bad: "2"})
    trends = [trend_of(hostile), trend_of(other)]
    cells = [cell for row in trend_table(trends).rows for cell in row]
    cells += [cell for row in figure_table(History([hostile])).rows for cell in row]
    for text in (*cells, *shift_lines(trends), chart_title(trends[0])):
        assert text.isprintable()


def test_the_documentation_names_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    records = (History, HistorySeries, HistoryPoint)
    names = {name for record in records for name in record.__struct_fields__}
    names |= {field.name for record in (Trend, Shift) for field in fields(record)}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_newest_figure_is_first() -> None:
    found = newest_first(History([series(3), replace(series(4), benchmark="copy")]))
    assert [(each.benchmark, point.run_id) for each, point in found][:3] == [
        ("copy", "run-3"),
        ("triad", "run-2"),
        ("copy", "run-2"),
    ]
