"""``gpubench history`` as it is run."""

from __future__ import annotations

import csv
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gpubench.results.document import decode_document, encode_document
from tests.cli.command import QUICK, gpubench
from tests.documents import document, measurement


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred days; from the 61st on triad is slower by 5 %."""
    folder = tmp_path_factory.mktemp("documents")
    generator = random.Random(3)
    for day in range(100):
        at = (datetime(2026, 1, 1) + timedelta(days=day)).isoformat() + ".000Z"
        triad = 1500 * generator.gauss(1, 0.01) * (0.95 if day >= 60 else 1)
        run = document(
            measurement(triad), measurement(1400, "copy"), run_id=f"run{day}", created_at=at, finished_at=at
        )
        (folder / f"{day}.json").write_bytes(encode_document(run))
    return folder


@pytest.fixture(scope="module")
def data(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("data"))
    ran = gpubench("history", "import", str(documents), "--data-dir", folder)
    assert (ran.returncode, ran.stdout) == (0, "100 imported\n"), ran.stderr
    return folder


def test_figures_are_listed_newest_first(data: str) -> None:
    ran = gpubench("history", "--benchmark=triad", "--limit=3", "--data-dir", data)
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[-1] for line in ran.stdout.splitlines() if "cuda:0" in line] == [
        "run99",
        "run98",
        "run97",
    ]
    assert "older figures" in ran.stderr


def test_json_and_csv(data: str) -> None:
    arguments = ["history", "--device=gpu0", "--since=2026-04-09", "--data-dir", data]
    found = json.loads(gpubench(*arguments, "--json").stdout)
    assert [(s["benchmark"], len(s["points"])) for s in found["series"]] == [("copy", 2), ("triad", 2)]
    assert not found["truncated"]
    rows = list(csv.DictReader(gpubench(*arguments, "--csv").stdout.splitlines()))
    assert [row["run_id"] for row in rows] == ["run98", "run98", "run99", "run99"]


def test_trend_says_when_and_by_how_much(data: str) -> None:
    ran = gpubench("history", "trend", "--data-dir", data)
    assert ran.returncode == 0, ran.stderr
    (sentence,) = [line for line in ran.stdout.splitlines() if line.startswith("cuda:0 triad: fell by ")]
    assert "slower, at 2026-0" in sentence
    trends = json.loads(gpubench("history", "trend", "--json", "--data-dir", data).stdout)["trends"]
    (shift,) = next(each for each in trends if each["series"]["benchmark"] == "triad")["shifts"]
    assert shift["low"] < 0.95 < shift["high"]
    assert next(each for each in trends if each["series"]["benchmark"] == "copy")["shifts"] == []


def test_plot(data: str) -> None:
    ran = gpubench("history", "plot", "--benchmark=triad", "--data-dir", data)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].startswith("cuda:0 (NVIDIA GeForce RTX 5090), triad")
    assert ran.stdout.count("●") == 50
    assert "┊" in ran.stdout
    assert "fell by" in ran.stdout.splitlines()[-1]


def test_plot_as_a_picture_and_as_a_page(data: str, tmp_path: Path) -> None:
    where = ["--benchmark=triad", "--data-dir", data]
    picture, page = tmp_path / "triad.svg", tmp_path / "triad.html"
    ran = gpubench("history", "plot", *where, "-o", str(picture), "--width=640")
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert "fell by" in picture.read_text()
    rows = list(csv.DictReader((tmp_path / "triad.svg.csv").read_text().splitlines()))
    assert [row["run_id"] for row in rows] == [f"run{day}" for day in range(100)]
    assert gpubench("history", "plot", *where, "-o", str(page)).returncode == 0
    assert "<figure " in page.read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["triad.html", "triad.svg", "triad.svg.csv"]


def test_a_picture_of_nothing_is_an_error(tmp_path: Path) -> None:
    ran = gpubench("history", "plot", "-o", str(tmp_path / "x.svg"), "--data-dir", str(tmp_path / "none"))
    assert ran.returncode == 2
    assert "no figures to draw" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_exported_can_be_imported_again(data: str, documents: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "runs" / "new", tmp_path / "data"
    arguments = ["history", "export", str(folder), "--since=2026-03-01", "--data-dir", data]
    assert gpubench(*arguments).stdout == "41 written\n"
    assert gpubench(*arguments).stdout == "0 written, 41 there already\n"
    assert decode_document((folder / "run99.json").read_bytes()) == decode_document(
        (documents / "99.json").read_bytes()
    )
    back = ["history", "import", str(folder), "--data-dir", str(other)]
    assert gpubench(*back).stdout == "41 imported\n"
    assert gpubench(*back).stdout == "0 imported, 41 there already\n"


def test_a_local_run_is_in_the_history(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path)]
    assert gpubench("run", "triad", *QUICK, *where).returncode == 0
    (series,) = json.loads(gpubench("history", "--json", *where).stdout)["series"]
    assert (series["benchmark"], len(series["points"])) == ("triad", 1)


def test_as_many_runs_are_kept_as_is_said(documents: Path, tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path)]
    gpubench("history", "import", str(documents / "1.json"), str(documents / "2.json"), *where)
    assert gpubench("history", "import", str(documents / "3.json"), "--keep-runs=2", *where).returncode == 0
    rows = list(csv.DictReader(gpubench("history", "--csv", "--benchmark=triad", *where).stdout.splitlines()))
    assert [row["run_id"] for row in rows] == ["run2", "run3"]


def test_nothing_yet(tmp_path: Path) -> None:
    for action in ("list", "trend", "plot"):
        ran = gpubench("history", action, "--data-dir", str(tmp_path / "none"))
        assert (ran.returncode, ran.stdout) == (0, "")
        assert "have no figures" in ran.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "did you mean list?"),
        (["--since=yesterday"], "--since: 'yesterday' is neither a time nor how long ago"),
        (["--since=1e300d"], "neither a time"),
        (["--limit=0"], "--limit: '0' is not a valid count; allowed: 1 to 10000"),
        (["trend", "--csv"], "--csv is for `gpubench history list`"),
        (["--csv", "--json"], "excludes --json"),
        (["list", "x.json"], "reads no files; import them first"),
        (["import"], "FILE: name the run documents"),
        (["export"], "FILE: name one folder"),
        (["export", "a", "b"], "FILE: name one folder"),
        (["import", "/nowhere.json"], "/nowhere.json cannot be read"),
        (["--server=tcp://127.0.0.1:1", "--data-dir=x"], "leave out --server, or --data-dir"),
        (["import", "x", "--server=tcp://127.0.0.1:1"], "imported into the runs of this machine alone"),
        (["trend", "-o", "x.svg"], "--out is for `gpubench history plot`"),
        (["plot", "-o", "x.svg", "--json"], "excludes --json"),
        (["plot", "-o", "-"], "--out: name a file"),
        (["plot", "-o", "x.gif"], "x.gif ends in .gif"),
        (["plot", "-o", "x.svg", "--width=9"], "--width"),
        (["--keep-time=0"], "--keep-time: '0' is 0 s; allowed: more than 0"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    ran = gpubench("history", *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_written(data: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = gpubench("history", "export", str(tmp_path / "file"), "--data-dir", data)
    assert ran.returncode == 2
    assert "cannot be written: File exists" in ran.stderr


@pytest.mark.parametrize("run_id", ["../elsewhere", "a/b", ".hidden", "x" * 200, "", "new\nline"])
def test_an_id_that_is_no_name_for_a_file(run_id: str, tmp_path: Path) -> None:
    at = "2026-01-01T00:00:00Z"
    (tmp_path / "bad.json").write_bytes(encode_document(document(run_id=run_id, finished_at=at)))
    where = ["--data-dir", str(tmp_path / "data")]
    assert gpubench("history", "import", str(tmp_path / "bad.json"), *where).returncode == 0
    ran = gpubench("history", "export", str(tmp_path / "out"), *where)
    assert ran.returncode == 1
    assert "no name for a file" in ran.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == ["bad.json"]
