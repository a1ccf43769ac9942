"""``gpubench check`` and ``gpubench baseline`` as they are run."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from gpubench_client.local_runs import LocalRuns

from gpubench.benchmarks.plan import plan
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import RunDocument, encode_document
from gpubench.results.machine import Environment, Host
from tests.cli.command import QUICK, Running, gpubench
from tests.comparison.acceptance.fleet import board, integrity, run
from tests.documents import document, measurement

INTEGRITY = ["--suite=integrity", "--footprint=16MiB", "--attempts=1-of-1"]
"""A check of this machine that is all right whoever else uses it: no bandwidth is judged."""


def written(folder: Path, *runs: RunDocument) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = []
    for number, each in enumerate(runs):
        path = folder / f"{number}.json"
        path.write_bytes(encode_document(each))
        names.append(str(path))
    return names


def stored(folder: Path, *runs: RunDocument, hours_ago: float = 1.0) -> str:
    """A data directory with these runs; they have the benchmarks and parameters of a check."""
    ended = datetime.now(UTC) - timedelta(hours=hours_ago)
    for number, each in enumerate(runs):
        at = (ended + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
        LocalRuns(folder).keep(msgspec.structs.replace(each, finished_at=at), print)
    return f"--data-dir={folder}"


def as_checked(gb_per_second: float, errors: int = 0, run_id: str = "r1") -> RunDocument:
    measured = [measurement(gb_per_second, each.name, parameters=each.parameters) for each in plan(["check"])]
    return document(
        *measured,
        device=board(),
        run_id=run_id,
        findings=[integrity(errors)],
        environment=Environment("0.1.0", "a1b2c3", host=Host(name="a")),
    )


def both(gb_per_second: float, errors: int = 0) -> list[RunDocument]:
    """As many as 2-of-3 needs."""
    return [as_checked(gb_per_second, errors, f"r{number}") for number in range(2)]


def test_documents_are_judged(tmp_path: Path) -> None:
    good, slow = written(tmp_path, run(1600), run(1300, 2))
    ran = gpubench("check", good)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[0].startswith("OK NVIDIA GeForce RTX 5090")
    ran = gpubench("check", slow)
    assert ran.returncode == 3
    assert "GB-BW-LOW" in ran.stdout
    assert "published figures" in ran.stdout
    assert "replace the board" in ran.stdout


def test_a_folder_and_json(tmp_path: Path) -> None:
    written(tmp_path, *(run(1650 + number, number) for number in range(1, 8)), run(1500, 8))
    ran = gpubench("check", str(tmp_path), "--json")
    assert ran.returncode == 3
    answer = json.loads(ran.stdout)
    assert [each["status"] for each in answer["devices"]].count("OK") == 7
    assert answer["codes"] == ["GB-BW-LOW"]


def test_a_baseline_is_learned_and_used(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    written(folder, *(run(1500 + number, number) for number in range(1, 9)))
    file = tmp_path / "baseline.toml"
    assert gpubench("baseline", "learn", str(folder), "-o", str(file)).returncode == 0
    (one,) = written(tmp_path / "one", run(1505))
    (low,) = written(tmp_path / "low", run(1450))
    assert gpubench("check", one, "--baseline", str(file)).returncode == 0
    ran = gpubench("check", low, "--baseline", str(file))
    assert (ran.returncode, "baseline.toml: median of 8 boards, 8 runs" in ran.stdout) == (3, True)
    assert gpubench("check", low, "--baseline", str(file), "--tolerance", "5%").returncode == 0


def test_a_run_of_sustained_is_held_against_its_beginning(tmp_path: Path) -> None:
    """As measured here: its footprint fits into caches, so that nothing counts, but both claims are there."""
    windows = ["--set=duration_seconds=0.4", "--set=window_seconds=0.1", "--footprint=16MiB"]
    ran = gpubench(
        "check", "--suite=sustained", *windows, "--attempts=1-of-1", "--json", f"--data-dir={tmp_path}"
    )
    assert ran.returncode == 3, ran.stderr
    (device,) = json.loads(ran.stdout)["devices"]
    found = {each["name"]: each["code"] for each in device["claims"]}
    assert found["bandwidth of sustained"] == "GB-NOT-OF-MEMORY"
    assert found["end of sustained against its beginning"] == "GB-NOT-OF-MEMORY"


def test_learning_warns_on_stderr(tmp_path: Path) -> None:
    written(tmp_path, *(run(1500, number) for number in range(1, 8)), run(900, 8))
    ran = gpubench("baseline", "learn", str(tmp_path), "--quiet")
    assert ran.returncode == 0
    assert "warning: " in ran.stderr
    assert "check it before you use this baseline" in ran.stderr
    assert "[[board.figure]]" in ran.stdout


def test_every_file_format_at_once(tmp_path: Path) -> None:
    (name,) = written(tmp_path, run(1300))
    files = [tmp_path / f"answer{end}" for end in (".json", ".ctrf.json", ".xml", ".prom", ".md")]
    ran = gpubench("check", name, *(f"--out={file}" for file in files))
    assert ran.returncode == 3
    begins = ["{\n", '{\n  "reportFormat"', "<?xml", "# HELP", "# Check"]
    for file, begin in zip(files, begins, strict=True):
        assert file.read_text().startswith(begin), file
    assert json.loads(files[0].read_text())["check_seconds"] > 0


@pytest.mark.parametrize(
    ("dialect", "gb", "code"),
    [
        *(("nagios", 1600, 0), ("nagios", 1300, 1), ("npd", 1300, 1), ("nhc", 1600, 0), ("nhc", 1300, 1)),
        *(("termination", 1600, 0), ("termination", 1300, 1)),
    ],
)
def test_dialects(tmp_path: Path, dialect: str, gb: float, code: int) -> None:
    (name,) = written(tmp_path, run(gb))
    message = tmp_path / "message"
    ran = gpubench("check", name, "--dialect", dialect, "--termination-file", str(message))
    assert ran.returncode == code
    assert (ran.stdout == "") == (dialect == "nhc" and code == 0)
    if dialect == "termination":
        assert message.read_text() == ran.stdout.rstrip("\n")
    else:
        assert len(ran.stdout.splitlines()) <= 1


def test_the_termination_file_is_written_in_place(tmp_path: Path) -> None:
    """Kubernetes mounts it: it cannot be replaced by another file."""
    (name,) = written(tmp_path, run(1300))
    message = tmp_path / "message"
    message.write_text("x" * 10_000)
    inode = message.stat().st_ino
    gpubench("check", name, "--dialect=termination", "--termination-file", str(message))
    assert message.stat().st_ino == inode
    assert message.read_text().startswith("DEGRADED: GB-BW-LOW")


def test_the_answer_is_given_even_if_a_file_cannot_be_written(tmp_path: Path) -> None:
    (name,) = written(tmp_path / "runs", run(1300))
    full = tmp_path / "full.prom"
    full.symlink_to("/dev/full")
    ran = gpubench("check", name, "--dialect=nhc", "--out", str(full))
    assert (ran.returncode, "GB-BW-LOW" in ran.stdout) == (1, True)
    assert "No space left" in ran.stderr
    ran = gpubench("check", name, "--json", "--out", str(full))
    assert (ran.returncode, json.loads(ran.stdout)["status"]) == (1, "DEGRADED")


def test_a_dash_is_json_on_stdout(tmp_path: Path) -> None:
    (name,) = written(tmp_path, run(1300))
    assert json.loads(gpubench("check", name, "--out=-").stdout)["codes"] == ["GB-BW-LOW"]


@pytest.mark.parametrize(("dialect", "code"), [("nagios", 3), ("npd", 2), ("nhc", 1)])
def test_in_a_dialect_an_error_is_an_answer(dialect: str, code: int) -> None:
    for wrong in (["--server=tcp://127.0.0.1:1", "--wait=0"], ["--baseline=/nowhere"], ["/nowhere.json"]):
        ran = gpubench("check", "--dialect", dialect, *wrong)
        assert (ran.returncode, len(ran.stdout.splitlines())) == (code, 1)
        assert "GB-NOT-MEASURED" in ran.stdout
    assert gpubench("check", "--server=tcp://127.0.0.1:1", "--wait=0").returncode == 4


def test_a_name_that_is_not_text_is_an_answer_too(tmp_path: Path) -> None:
    """Names of files may be any bytes; an answer must be UTF-8."""
    wrong = os.fsdecode(b"/nowhere/\xff.json")
    out = tmp_path / "answer.json"
    ran = gpubench("check", wrong, "--dialect=nagios", "--out", str(out))
    assert (ran.returncode, "\\xff.json cannot be read" in ran.stdout) == (3, True)
    assert json.loads(out.read_bytes())["codes"] == ["GB-NOT-MEASURED"]


def test_a_baseline_from_an_editor_of_windows(tmp_path: Path) -> None:
    (name,) = written(tmp_path / "one", run(1505))
    text = gpubench(
        "baseline", "learn", *written(tmp_path / "runs", *(run(1500, n) for n in range(3)))
    ).stdout
    file = tmp_path / "baseline.toml"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert gpubench("check", name, "--baseline", str(file)).returncode == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "is not a run document"), (b'{"schema": 99}', "upgrade gpubench"), (b'{"schema": 2}', "run_id")],
)
def test_a_document_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """One in a folder is not passed over: it may be the one that is not all right."""
    names = written(tmp_path, run(1600))
    (tmp_path / "9.json").write_bytes(content)
    ran = gpubench("check", str(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "9.json" in ran.stderr
    assert said in ran.stderr
    assert gpubench("check", *names).returncode == 0


def test_a_young_stored_run_answers(tmp_path: Path) -> None:
    where = stored(tmp_path, *both(1600))
    ran = gpubench("check", "--max-age=24h", where)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "from stored runs" in ran.stdout


def test_a_stored_fault_is_not_measured_away(tmp_path: Path) -> None:
    where = stored(tmp_path, *both(1600, errors=1))
    ran = gpubench("check", "--max-age=24h", where, "--dialect=nagios")
    assert ran.returncode == 2
    assert "GB-MEM-ERROR" in ran.stdout


def test_an_old_run_is_overdue(tmp_path: Path) -> None:
    where = stored(tmp_path, *both(1600), hours_ago=30)
    ran = gpubench("check", "--max-age=24h", "--no-run", where, "--dialect=nhc")
    assert ran.returncode == 1
    assert ran.stdout == "gpubench: GB-OVERDUE cuda:1: the last run ended 30 h ago; 24 h are allowed\n"
    none = gpubench("check", "--max-age=24h", "--no-run", f"--data-dir={tmp_path / 'none'}")
    assert (none.returncode, "GB-OVERDUE" in none.stdout) == (3, True)


def test_too_few_stored_attempts_are_no_answer(tmp_path: Path) -> None:
    where = stored(tmp_path, as_checked(1600))
    ran = gpubench("check", "--max-age=24h", "--no-run", where, "--json")
    assert (ran.returncode, json.loads(ran.stdout)["codes"]) == (3, ["GB-UNDECIDED"])
    assert gpubench("check", "--max-age=24h", "--no-run", where, "--attempts=1-of-1").returncode == 0


def test_this_machine_is_measured_and_stored(tmp_path: Path) -> None:
    where = f"--data-dir={tmp_path}"
    first = gpubench("check", *INTEGRITY, where, "--json")
    assert first.returncode == 0
    answer = json.loads(first.stdout)
    (device,) = answer["devices"]
    assert [claim["name"] for claim in device["claims"]] == ["memory"]
    again = gpubench("check", *INTEGRITY, where, "--max-age=1h", "--no-run", "--json")
    assert json.loads(again.stdout)["devices"][0]["run_ids"] == device["run_ids"]
    assert (answer["source"], json.loads(again.stdout)["source"]) == ("run", "store")


def test_nothing_to_check_is_not_all_right(tmp_path: Path) -> None:
    ran = gpubench("check", "--runtime=cuda", f"--data-dir={tmp_path}", "--json", CUDA_VISIBLE_DEVICES="")
    assert (ran.returncode, json.loads(ran.stdout)["codes"]) == (3, ["GB-NO-DEVICE"])
    ran = gpubench("check", "--runtime=cuda", "--dialect=nagios", CUDA_VISIBLE_DEVICES="")
    assert (ran.returncode, ran.stdout.count("\n")) == (3, 1)


def test_a_small_footprint_is_never_all_right(tmp_path: Path) -> None:
    """A real run of this machine, whose figure is a cache's."""
    ran = gpubench(
        "check",
        "--suite=triad",
        *QUICK,
        "--attempts=1-of-1",
        "--no-store",
        f"--data-dir={tmp_path}",
        "--json",
    )
    assert ran.returncode == 3
    assert json.loads(ran.stdout)["status"] == "UNKNOWN"
    assert list(tmp_path.iterdir()) == []


def test_on_a_server(url: str, tmp_path: Path) -> None:
    ran = gpubench("check", *INTEGRITY, "--server", url, f"--data-dir={tmp_path}")
    assert ran.returncode == 0
    assert list(tmp_path.iterdir()) == []  # the server keeps its runs
    for option in ("--max-age=1h", "--wait-idle=1h"):
        assert gpubench("check", "--server", url, option).returncode == 2


@pytest.mark.timing
def test_a_busy_device_is_not_measured(tmp_path: Path) -> None:
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        options = [*INTEGRITY, "--wait-idle=1ms", f"--data-dir={tmp_path}"]
        alone = gpubench("check", *options)
        overdue = gpubench("check", *options, "--max-wait=7d")
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert (alone.returncode, "GB-BUSY" in alone.stdout) == (3, True)
    assert (overdue.returncode, "GB-OVERDUE" in overdue.stdout) == (3, True)


def test_runs_are_stored_unless_told_not_to(tmp_path: Path) -> None:
    ran = gpubench("run", "triad", *QUICK, "--json", f"--data-dir={tmp_path / 'data'}")
    kept = LocalRuns(tmp_path / "data").newest(_planned(ran.stdout))
    assert kept is not None
    assert kept.run_id == json.loads(ran.stdout)["run_id"]
    gpubench("run", "triad", *QUICK, "--json", "--no-store", f"--data-dir={tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()


def _planned(document_json: str) -> list[PlannedBenchmark]:
    (measured,) = json.loads(document_json)["measurements"]
    return [PlannedBenchmark(name="triad", parameters=measured["parameters"], default_parameters=False)]


def test_a_run_that_cannot_be_stored_is_not_affected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = gpubench("run", "triad", *QUICK, "--json", f"--data-dir={tmp_path / 'file'}")
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["outcome"] == "ok"
    assert "the run is not stored: " in ran.stderr


def test_an_interrupt_ends_a_check() -> None:
    with Running("check", "--suite=triad", "--time-limit=60", "--set=target_ratio=0.0001") as running:
        running.wait_for("triad: started")
        running.interrupt()
        code, _, _ = running.end()
    assert code == 130


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attempts=1-of-3"], "more than half"),
        (["--attempts=two"], "write 2-of-3"),
        (["--tolerance=200%"], "a share above 0 and below 1"),
        (["--min-efficiency=0.9", "--tolerance=5%"], "exclude each other"),
        (["--like=RTX 9999"], "--like: "),
        (["--no-run"], "--no-run needs --max-age"),
        (["--max-wait=1h"], "--max-wait needs --wait-idle"),
        (["x.json", "--max-age=1h"], "give no RUN"),
        (["--out=answer.pdf"], ".ctrf.json"),
        (["--dialect=nagios", "--json"], "exclude each other"),
        (["--device=nope"], "--device: no device 'nope'"),
        (["--suite=tirad"], "did you mean triad?"),
        (["--expect-devices=0"], "1 to 1024"),
        (["--dialect=icinga"], "nagios"),
        (["--baseline=/dev/null/x"], "--baseline: "),
    ],
)
def test_usage_errors(words: list[str], said: str) -> None:
    ran = gpubench("check", *words)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
