"""``report``, ``plot`` and ``verify``: a format by the file's ending, and errors that name file and field."""

from __future__ import annotations

import csv
import io
import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from gpubench_client.cli.main import main

from gpubench.results.document import encode_document
from gpubench.results.kept import read_kept
from tests.cli.command import gpubench
from tests.report.reports import HOSTILE, hostile_run, two_boards


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    names = []
    for number, made in enumerate(two_boards()):
        path = tmp_path / f"run-{number}.json"
        path.write_bytes(encode_document(made))
        names.append(str(path))
    return names


def test_one_report_in_every_format(runs: list[str], tmp_path: Path) -> None:
    beginnings = {
        "md": b"# Memory",
        "html": b"<!doctype html>",
        "csv": b"run_id,",
        "json": b"{",
        "svg": b"<svg ",
        "png": b"\x89PNG",
        "pdf": b"%PDF-",
    }
    sums = [read_kept(Path(name).read_bytes(), name)[0].sha256 for name in runs]
    for ending, beginning in beginnings.items():
        path = tmp_path / f"report.{ending}"
        assert main(["-q", "report", *runs, "--board", "RTX 3060 12 GB", "-o", str(path)]) == 0
        data = path.read_bytes()
        assert data.startswith(beginning)
        if ending not in ("png", "pdf"):
            assert all(each.encode() in data for each in sums)
    found = json.loads((tmp_path / "report.json").read_bytes())
    assert [run["label"] for run in found["runs"]] == ["NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 4090"]
    assert found["runs"][0]["results"][1]["nominal_ratio"] == pytest.approx(1700 / 1792.1, abs=1e-3)
    assert [len(curve["points"]) for curve in found["runs"][0]["curves"]] == [10, 32]
    assert found["boards"][0]["label"] == "NVIDIA GeForce RTX 3060 (12 GB) (catalogue)"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_in_the_formats_without_drawings(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run.json"
    run.write_bytes(encode_document(hostile_run(name)))
    for ending in ("csv", "json", "md"):
        path = tmp_path / f"report.{ending}"
        assert main(["-q", "report", str(run), "-o", str(path)]) == 0
        text = path.read_text()
        if ending == "csv":
            cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
        if ending == "json":
            assert json.loads(text)["runs"][0]["device"]["name"] == name


def test_a_picture_comes_with_its_data(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.svg"
    assert main(["plot", *runs, "cache_sweep", "-o", str(path), "--width", "600"]) == 0
    assert capsys.readouterr().err == f"wrote {path}\nwrote {path}.csv\n"
    assert ElementTree.fromstring(path.read_text()).get("width") == "600"
    rows = list(csv.DictReader(io.StringIO(Path(f"{path}.csv").read_text())))
    assert len(rows) == 20
    alone = tmp_path / "alone.csv"
    assert main(["-q", "plot", *runs, "cache_sweep", "-o", str(alone)]) == 0
    assert alone.read_text() == Path(f"{path}.csv").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense", "-o", "x.svg"], "no figure 'nonsense' of these runs; allowed: bandwidth, generations,"),
        (["map", "-o", "x.doc"], "--out: x.doc ends in .doc"),
        (["map"], "--out: name a file"),
        (["map", "-o", "-"], "--out: name a file"),
        (
            ["map", "-o", "x.svg", "--width", "10"],
            "--width: '10' is not a valid width; allowed: 320 to 2400 pixels",
        ),
        (["map", "-o", "x.svg", "--board", "no such board"], "--board: no board"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    words: list[str],
    said: str,
    runs: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *runs, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()


def test_verify_finds_a_changed_document_in_a_report(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verify tells the document of a report from a changed one."""
    page = tmp_path / "report.html"
    assert main(["-q", "report", *runs, "-o", str(page)]) == 0
    assert main(["verify", str(page)]) == 0
    shown = capsys.readouterr()
    assert shown.out.count(", as printed") == 2
    assert "says nothing about whether the figures are honest" in shown.err
    [first, second] = read_kept(page.read_bytes(), "page")
    assert main(["verify", runs[0], "--sha256", first.sha256[:16].upper()]) == 0
    extracted = tmp_path / "extracted.json"
    extracted.write_bytes(first.data)
    assert main(["verify", str(extracted), "--sha256", first.sha256]) == 0
    assert main(["verify", runs[1], "--sha256", first.sha256]) == 1
    capsys.readouterr()
    forged = page.read_text().replace(f'data-sha256="{second.sha256}"', f'data-sha256="{"0" * 64}"')
    page.write_text(forged)
    assert main(["verify", str(page), "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["unchanged"] is False
    assert "report.html, document 2 was changed" in shown.err
    for wrong in ("123", "z" * 64, "0" * 65):
        assert main(["verify", runs[0], "--sha256", wrong]) == 2


@pytest.mark.parametrize("command", [["report"], ["plot", "map", "-o", "x.csv"], ["verify"]], ids=str)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measurements": [{"benchmark": 3}]}, r"`$.measurements[0].benchmark`"),
        ({"outcome": "splendid"}, "`$.outcome`"),
        ({"schema": 999}, "has version 999"),
        (None, "is not a run document: "),
    ],
)
def test_a_document_that_cannot_be_read_is_named_with_its_field(
    command: list[str],
    change: dict[str, object] | None,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.json"
    good = json.loads(encode_document(two_boards()[0]))
    path.write_text("[1, 2" if change is None else json.dumps({**good, **change}))
    assert main([command[0], str(path), *command[1:]]) == 2
    shown = capsys.readouterr().err
    assert str(path) in shown
    assert said in shown
    assert shown.count("\n") == 1


def test_without_the_extra_its_name_is_said(runs: list[str], tmp_path: Path) -> None:
    """Even if it is installed: a module earlier on the path hides it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("altair", "jinja2", "vl_convert"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\")")
    path = os.pathsep.join(filter(None, (str(hidden), os.environ.get("PYTHONPATH"))))
    for words in (["report", "-o", "x.html"], ["report", "-o", "x.png"], ["plot", "map", "-o", "x.svg"]):
        ran = gpubench(words[0], *runs, *words[1:-1], str(tmp_path / words[-1]), PYTHONPATH=path)
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
        assert "pip install '.[report]' in the checkout" in ran.stderr
    for words in (
        ["report"],
        ["report", "-o", str(tmp_path / "x.csv")],
        ["plot", "map", "-o", str(tmp_path / "y.csv")],
    ):
        assert gpubench(words[0], *runs, *words[1:], PYTHONPATH=path).returncode == 0
