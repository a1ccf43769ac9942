"""Figures over time as pictures and as a page: what is drawn, and that no document can spoil it."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree

import altair
import pytest
from msgspec.structs import replace

from gpubench.comparison.history import Trend, trend_of
from gpubench.errors import InvalidParameters
from gpubench.report.figures.history import MAX_POINTS, history_figures
from gpubench.report.history_files import Drawn, history_formats
from tests.comparison.test_history import series
from tests.report.reports import HOSTILE


def written(ending: str, *trends: Trend, width: int = 600) -> bytes:
    (format_,) = [each for each in history_formats(width) if ending in each.endings]
    return format_.render(Drawn(trends, "the stored runs of a machine"))


def texts(drawing: bytes) -> str:
    return " ".join(" ".join(ElementTree.fromstring(drawing).itertext()).split())


def test_a_picture_names_the_shift_and_draws_every_figure() -> None:
    drawn = written(".svg", trend_of(series()))
    said = texts(drawn)
    for part in (
        "Figures over time",
        "cuda:0 triad: fell by",
        "−10.",
        "GB/s",
        "the stored runs of a machine",
    ):
        assert part in said
    assert ElementTree.fromstring(drawn).get("width") == "600"
    # Vega draws each point as a path of its own.
    assert drawn.decode().count('aria-roledescription="point"') in (0, 100)
    assert len(re.findall(r"<path[^>]*fill=\"#", drawn.decode())) >= 100


def test_the_level_steps_where_the_shift_is() -> None:
    trend = trend_of(series(100, at=60))
    (figure,) = history_figures([trend])
    spec = figure.draw(600)
    altair.Chart.from_dict(spec, validate=True)
    (level,) = [layer["data"]["values"] for layer in spec["layer"] if layer["mark"]["type"] == "line"]
    (shift,) = trend.shifts
    assert [row["bandwidth_gb_per_second"] for row in level] == pytest.approx(
        [each / 1e9 for each in (shift.before, shift.before, shift.after, shift.after)]
    )
    assert [row["at"] for row in level][1:3] == [shift.after_at, shift.after_at]


def test_few_figures_have_no_level() -> None:
    (figure,) = history_figures([trend_of(series(10))])
    marks = [layer["mark"]["type"] for layer in figure.draw(600)["layer"]]
    assert marks == ["rule", "point"]
    assert "too few to look for changes" in figure.words


def test_latencies_are_in_nanoseconds() -> None:
    slow = series(30, quantity="latency", ratio=1)
    slow = replace(slow, points=[replace(each, median=6e-7, low=5.9e-7, high=6.1e-7) for each in slow.points])
    (figure,) = history_figures([trend_of(slow)])
    assert figure.rows[0]["latency_ns"] == pytest.approx(600)
    assert "Lower is better." in figure.caption


def test_a_long_series_is_thinned_and_says_so() -> None:
    (figure,) = history_figures([trend_of(series(2500, ratio=1))])
    assert len(figure.rows) <= MAX_POINTS
    assert f"{len(figure.rows)} of 2500 figures are drawn." in figure.caption
    (table,) = figure.tables
    assert len(table.rows) == len(figure.rows)


def test_a_page_has_a_chart_and_a_table_of_each_series() -> None:
    two = trend_of(series()), trend_of(replace(series(ratio=1), benchmark="copy"))
    page = written(".html", *two).decode()
    assert page.count("<figure ") == 2
    assert page.count("<svg ") == 4  # each for a wide screen and for a phone
    assert "fell by" in page
    assert "none" in page
    assert page.count("<tr>") > 200
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert len(set(re.findall(r' id="([^"]+)"', page))) == len(re.findall(r' id="([^"]+)"', page))


def test_csv_has_every_figure() -> None:
    rows = list(csv.DictReader(io.StringIO(written(".csv", trend_of(series(40))).decode())))
    assert [row["run_id"] for row in rows] == [f"run-{number}" for number in range(40)]


def test_png_and_pdf_are_made() -> None:
    assert written(".png", trend_of(series(30))).startswith(b"\x89PNG")
    assert written(".pdf", trend_of(series(30))).startswith(b"%PDF-")


def test_nothing_to_draw() -> None:
    with pytest.raises(InvalidParameters, match="no figures to draw"):
        written(".svg")
    with pytest.raises(InvalidParameters, match="no figures to draw"):
        written(".html", trend_of(series(0)))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    hostile = replace(series(30), name=name, device=name, host=name, benchmark=name, parameters={name: name})
    page = written(".html", trend_of(hostile)).decode()
    assert "<script" not in page.lower()
    assert "\u202e" not in page
    tags = {element.tag for element in ElementTree.fromstring(written(".svg", trend_of(hostile))).iter()}
    assert not [tag for tag in tags if "script" in tag]


@pytest.mark.parametrize("at", ["yesterday", "", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"])
def test_a_damaged_time_spoils_no_picture(at: str) -> None:
    damaged = series(30)
    damaged = replace(damaged, points=[replace(damaged.points[0], at=at), *damaged.points[1:]])
    assert texts(written(".svg", trend_of(damaged)))


@pytest.mark.parametrize("value", [1e-300, 1e300])
def test_a_damaged_figure_spoils_no_picture(value: float) -> None:
    damaged = series(30)
    damaged = replace(damaged, points=[replace(damaged.points[0], median=value), *damaged.points[1:]])
    assert texts(written(".svg", trend_of(damaged)))
