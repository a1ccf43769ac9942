"""Charts show the run's own numbers, are valid Vega-Lite, and can be drawn whatever a document holds."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree

import altair
import pytest

from gpubench.report.figure_csv import figures_csv
from gpubench.report.figures import figures
from gpubench.report.figures.draw import svg
from gpubench.report.figures.model import Figure
from gpubench.report.subject import Subject
from gpubench.results.document import Finding, Measurement, RunDocument, Summary, decode_document
from gpubench.results.machine import Telemetry, TelemetrySample
from tests.documents import document, measurement
from tests.report.reports import HOSTILE, RESULTS, hostile_run, recorded, subject_of, two_boards


def named(subject: Subject) -> dict[str, Figure]:
    return {each.name: each for each in figures(subject)}


def texts(drawing: str) -> str:
    return " ".join(ElementTree.fromstring(drawing).itertext())


def test_every_recorded_benchmark_has_a_figure() -> None:
    """Every benchmark of the recorded run has a figure with its points."""
    [kept] = recorded()
    found = named(Subject([kept]))
    curves = {each.benchmark for each in kept.document.measurements if each.axes and each.status == "ok"}
    assert curves <= found.keys()
    for name in ("latency", "cache_sweep", "loaded_latency", "mix", "map", "integrity"):
        points = [each for each in kept.document.measurements if each.benchmark == name]
        assert len(found[name].rows) == len(points)
    first = kept.document.measurements[0].bandwidth_bytes_per_second
    assert first is not None
    assert found["bandwidth"].rows[0]["bandwidth_gb_per_second"] == pytest.approx(first.median / 1e9)
    assert {row["footprint_bytes"] for row in found["latency"].rows} >= {4096, 256 << 20}
    assert all(row["low_ns"] <= row["latency_ns"] <= row["high_ns"] for row in found["latency"].rows)


def test_steps_and_theory_are_named_in_the_drawing() -> None:
    found = named(Subject(recorded()))
    drawn = texts(svg(found["latency"], 680))
    assert all(f"{level} ends" in drawn for level in ("L1", "L2", "L3"))
    boards = subject_of(two_boards(), "RTX 3060 12 GB")
    drawn = texts(svg(named(boards)["cache_sweep"], 680))
    assert "theory of NVIDIA GeForce RTX 5090" in drawn
    assert "theory of NVIDIA GeForce RTX 3060 (12 GB) (catalogue)" in drawn
    assert "NVIDIA GeForce RTX 4090, theory" in texts(svg(named(boards)["generations"], 680))


def test_a_board_of_the_catalogue_has_published_figures() -> None:
    """A board of the catalogue is there with its published figures."""
    rows = named(subject_of(two_boards(), "RTX 5090"))["bandwidth"].rows
    [published] = [row for row in rows if row["kind"] == "published"]
    assert published["device"] == "NVIDIA GeForce RTX 5090 (catalogue)"
    assert published["benchmark"] == "copy"
    assert 0.5 < published["of_theory_ratio"] < 1


@pytest.mark.parametrize("name", ["h100-80gb-hbm3-2026-11-26", "h200-2026-11-26"])
def test_each_bar_has_its_name(name: str) -> None:
    """Among 30 bars every second one had none, with it the device that was measured."""
    run = decode_document((RESULTS / name / "full.json").read_bytes())
    figure = named(Subject.of([run]))["generations"]
    assert len(figure.rows) > 25
    labels = ElementTree.fromstring(svg(figure, 680)).iter("{http://www.w3.org/2000/svg}text")
    seen = {each.text for each in labels if each.get("opacity") != "0"}
    assert [row["memory"] for row in figure.rows if row["memory"] not in seen] == []


def test_slices_that_hardly_differ_look_alike() -> None:
    """All 90 are within 0.1 %, and were drawn from the one end of the colours to the other."""
    run = decode_document((RESULTS / "h100-80gb-hbm3-2026-11-26" / "full.json").read_bytes())
    figure = named(Subject.of([run]))["map"]
    rates = [row["bandwidth_gb_per_second"] for row in figure.rows]
    assert max(rates) / min(rates) < 1.001
    squares = re.findall(r'fill="rgb\((\d+), (\d+), (\d+)\)"', svg(figure, 680))
    assert len(squares) == len(rates)
    assert all(
        max(channel) - min(channel) <= 8 for channel in zip(*[map(int, s) for s in squares], strict=True)
    )


@pytest.mark.parametrize("width", [340, 680])
def test_every_chart_is_valid_vega_lite(width: int) -> None:
    for subject in (Subject(recorded()), subject_of(two_boards(), "RTX 4090")):
        for each in figures(subject):
            altair.Chart.from_dict(each.draw(width), validate=True)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_drawn_as_text(name: str) -> None:
    for each in figures(subject_of([hostile_run(name)])):
        drawing = svg(each, 340)
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing).iter()}
        assert tags <= {
            "svg",
            "g",
            "path",
            "line",
            "rect",
            "text",
            "tspan",
            "defs",
            "clipPath",
            "linearGradient",
            "stop",
            "title",
        }
        assert len(drawing) < 200_000


def bandwidth(rate: float, benchmark: str = "cache_sweep", **axes: int | float | str) -> Measurement:
    figure = Summary(rate, rate, rate, rate, rate, rate, rate)
    return measurement(1.0, benchmark, bandwidth_bytes_per_second=figure, axes=axes)


def latency(seconds: float, **axes: int) -> Measurement:
    figure = Summary(seconds, seconds, seconds, seconds, seconds, seconds, seconds)
    return measurement(1.0, "latency", quantity="latency", latency_seconds=figure, axes=axes)


SIZES = (4096, 8192)

ODD = {
    "one point": [latency(1e-7, footprint_bytes=4096)],
    "huge and tiny": [latency(1e300, footprint_bytes=2**62), latency(1e-300, footprint_bytes=1)],
    "denormal": [latency(5e-324, footprint_bytes=1), bandwidth(5e-324, footprint_bytes=1)],
    "largest": [bandwidth(1.7e308, footprint_bytes=4096), bandwidth(1.0, footprint_bytes=8192)],
    "no size": [bandwidth(1e9, footprint_bytes=0), bandwidth(1e9, footprint_bytes=-5)],
    "size in words": [bandwidth(1e9, footprint_bytes="big"), bandwidth(1e9, footprint_bytes=4096)],
    "vast size": [bandwidth(1e9, footprint_bytes=1e308), bandwidth(1e9, footprint_bytes=4096)],
    "wrong slices": [bandwidth(1e9, "map", slice=place) for place in ("x", -3, 2.5, 2**60, 0)],
    "other axes": [bandwidth(1e9, "latency", other=3), bandwidth(1e9, "map", other="x")],
    "many series": [bandwidth(1e9, footprint_bytes=size, kernel=f"{n}") for n in range(40) for size in SIZES],
    "many slices": [bandwidth(1e9, "map", slice=place) for place in range(10_000)],
    "many bars": [bandwidth(1e9, "pattern", pattern=f"p{n}", kernel="w") for n in range(300)],
    "many figures": [measurement(100.0 + n, "triad", parameters={"n": n}) for n in range(300)],
    "odd samples": [measurement(100.0, samples_seconds=[0.0, -1.0, 1e-300, 1e300, 5e-324], bus_bytes=10**18)],
}  # fmt: skip


@pytest.mark.parametrize("points", ODD.values(), ids=ODD)
def test_odd_numbers_do_not_stop_a_drawing(points: list[Measurement]) -> None:
    samples = [TelemetrySample(1e300, 2**62, 0, -5.0, 1e308), TelemetrySample(0.0, power_watts=1.0)]
    findings = [Finding("cache_sweep", "l1_end", "x", value, "byte") for value in (-1.0, 0.0, 65536.0)]
    run: RunDocument = document(*points, telemetry=Telemetry(samples), findings=findings)
    for each in figures(subject_of([run])):
        drawing = svg(each, 340)
        assert "NaN" not in drawing
        assert len(drawing) < 500_000


def test_the_data_of_a_figure_is_its_csv() -> None:
    [kept] = recorded()
    subject = Subject([kept])
    figure = named(subject)["latency"]
    rows = list(csv.DictReader(io.StringIO(figures_csv(subject, [figure]))))
    assert len(rows) == len(figure.rows) == 47
    assert {row["document_sha256"] for row in rows} == {kept.sha256}
    assert float(rows[0]["latency_ns"]) == figure.rows[0]["latency_ns"]
    hostile = figures_csv(
        subject_of([hostile_run("=cmd|calc")]), figures(subject_of([hostile_run("=cmd|calc")]))
    )
    cells = {cell for row in csv.reader(io.StringIO(hostile)) for cell in row}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
