"""``gpubench compare``: which side is which, what could not be read, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gpubench_client.cli.main import main

from gpubench.results.document import encode_document
from tests.cli.command import PIN
from tests.documents import document, measurement


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUBENCH_SERVER", raising=False)


def folder(root: Path, name: str, gb_per_second: float, count: int = 5) -> str:
    path = root / name
    path.mkdir()
    for number in range(count):
        run = document(measurement(gb_per_second), run_id=f"{name}-{number}")
        (path / f"{number}.json").write_bytes(encode_document(run))
    return str(path)


def words(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    read = capsys.readouterr()
    return read.out, read.err.splitlines()


def test_the_json_names_sides_figures_and_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = folder(tmp_path, "before", 1500), folder(tmp_path, "after", 1400)
    assert main(["compare", before, after, "RTX 4090", "--json"]) == 0
    out, err = words(capsys)
    found = json.loads(out)
    assert err == []
    assert [(each["side"], each["name"], each["board"]) for each in found["sides"]] == [
        ("A", before, None),
        ("B", after, None),
        ("C", "RTX 4090", "nvidia-geforce-rtx-4090"),
    ]
    assert found["sides"][0]["driver"] == "595.10"
    assert found["sides"][0]["run_ids"] == [f"before-{number}" for number in range(5)]
    [row] = found["rows"]
    assert [each["median"] for each in row["figures"]] == [1500e9, 1400e9, 1008e9]
    assert [each and each["reason_code"] for each in row["verdicts"]] == [
        None,
        "intervals_apart",
        "not_a_measurement",
    ]


def test_generations_of_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = folder(tmp_path, "runs", 1612.8)
    assert main(["compare", runs, "--generations"]) == 0
    out, _ = words(capsys)
    [row] = [line.split() for line in out.splitlines() if line.strip().startswith("GDDR7 32 Gbit/s")]
    assert row[3:] == [
        *("512", "bit", "2048.0", "0.875x", "0.787x", "1843.1", "1839.4", "to", "1846.8"),
        *("32", "GiB", "48", "GiB"),
    ]
    assert "25.20 Gbit/s per pin" in out
    assert "What cannot be concluded from this:" in out
    assert main(["compare", "RTX 5090", "--generations", "--json"]) == 0
    found = json.loads(words(capsys)[0])
    assert found["rows"] == []
    assert [each["measured_ratio"] for each in found["generations"][0]["generations"]] == [None] * 7


def test_fail_on_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = folder(tmp_path, "before", 1500), folder(tmp_path, "after", 1400)
    assert main(["compare", before, after, "--fail-on", "slower"]) == 3
    out, err = words(capsys)
    assert "SLOWER" in out
    assert err == ["gpubench: B SLOWER: triad (0.9333)"]
    assert main(["compare", before, after, "--fail-on=faster", "--fail-on=not-comparable"]) == 0
    assert main(["compare", before, after, "--baseline=B", "--fail-on=faster"]) == 3
    assert words(capsys)[1] == ["gpubench: A FASTER: triad (1.0714)"]
    assert main(["compare", before, "RTX 4090", "--fail-on=not-comparable"]) == 3
    few = folder(tmp_path, "few", 1400, count=4)
    assert main(["compare", before, few, "--fail-on=slower"]) == 0
    assert main(["compare", before, few, "--fail-on=ambiguous"]) == 3


@pytest.mark.parametrize("baseline", ["before", "b", "B"])
def test_the_baseline_is_a_side_or_its_letter(
    baseline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path, "after", 1400)
    folder(tmp_path, "before", 1500)
    assert main(["compare", "after", "before", "--baseline", baseline, "--json"]) == 0
    assert json.loads(words(capsys)[0])["baseline"] == "B"


def test_a_broken_file_is_named_and_the_others_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = folder(tmp_path, "before", 1500), folder(tmp_path, "after", 1400, count=6)
    broken = Path(after) / "3.json"
    fields = json.loads(broken.read_bytes())
    fields["measurements"][0]["samples_seconds"] = "many"
    broken.write_text(json.dumps(fields))
    assert main(["compare", before, after, "--json", "--fail-on=slower"]) == 3
    out, err = words(capsys)
    at = "`$.measurements[0].samples_seconds`"
    assert err[0].startswith(
        f"left out: {broken} is not a run document: Expected `array`, got `str` - at {at}"
    )
    found = json.loads(out)
    assert found["rows"][0]["verdicts"][1]["runs_b"] == 5
    assert [each["file"] for each in found["skipped"]] == [str(broken)]
    assert at in found["skipped"][0]["reason"]


def test_a_side_of_which_nothing_can_be_read_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless it is the baseline, or there are not two others."""
    before, after = folder(tmp_path, "before", 1500), folder(tmp_path, "after", 1400)
    empty, gone = tmp_path / "empty", str(tmp_path / "gone")
    empty.mkdir()
    assert main(["compare", before, str(empty), gone, after, "--json"]) == 0
    out, err = words(capsys)
    assert [line.split(";")[0] for line in err] == [
        f"left out: {empty} has no *.json in it",
        f"left out: {gone} cannot be read: No such file or directory",
    ]
    found = json.loads(out)
    assert [each["name"] for each in found["sides"]] == [before, after]
    assert found["rows"][0]["verdicts"][1]["verdict"] == "SLOWER"
    for arguments in ([gone, before, after], [before, gone], [before, after, gone, "--baseline", gone]):
        assert main(["compare", *arguments]) == 2
        assert words(capsys) == ("", [f"gpubench: {gone} cannot be read: No such file or directory"])


def test_a_folder_of_broken_files_names_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder(tmp_path, "before", 1500)
    (tmp_path / "broken").mkdir()
    for name in ("1.json", "2.json"):
        (tmp_path / "broken" / name).write_text("{")
    assert main(["compare", before, str(tmp_path / "broken")]) == 2
    _, [line] = words(capsys)
    assert line.startswith(f"gpubench: {tmp_path}/broken/1.json is not a run document")
    assert line.endswith(f"; nor can the other 1 *.json of {tmp_path}/broken")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["{runs}"], "SIDE: there is only one; name at least two"),
        (["{runs}", "befor"], "'befor' is neither a file, nor a folder, nor a run id, nor a board: no board"),
        (["{runs}", "RTX 5009"], "did you mean NVIDIA GeForce RTX 5090"),
        (["{runs}", "0123456789abcdef"], "the run id 0123456789abcdef needs a server; add --server"),
        (["{runs}", "{runs}", "--baseline=Z"], "--baseline: 'Z' is not one of the sides; write one of them"),
        (["{runs}", "{runs}", "--fail-on=slow"], "--fail-on: 'slow' is not allowed; did you mean slower?"),
        (["{runs}", "{runs},gone"], "gone cannot be read: No such file or directory"),
        (["RTX 5090", "RTX 4090"], "none of the sides has a run"),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = folder(tmp_path, "runs", 1500, count=1)
    assert main(["compare", *(word.format(runs=runs) for word in arguments)]) == 2
    out, [line] = words(capsys)
    assert out == ""
    assert text in line


def test_files_and_runs_of_a_server_make_a_side(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run.json"
    quick = [*PIN, "--footprint=16M", "--time-limit=0.05", "--server", url, "-q"]
    assert main(["run", "triad", *quick, "--out", str(run), "--json"]) == 0
    first = json.loads(words(capsys)[0])["run_id"]
    assert main(["run", "triad", *quick, "--json"]) == 0
    second = json.loads(words(capsys)[0])["run_id"]
    assert main(["compare", str(run), f"{first},{second}", "--server", url, "--json"]) == 0
    found = json.loads(words(capsys)[0])
    assert [each["run_ids"] for each in found["sides"]] == [[first], [first, second]]
    assert main(["compare", str(run), "0" * 16, "--server", url]) == 2
    assert f"SIDE: the server has no run '{'0' * 16}'" in words(capsys)[1][0]
