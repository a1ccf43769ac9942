"""``gpubench run`` without a server: its own worker process, real kernels."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.results.document import decode_document, encode_document
from tests.cli.command import ESCAPE, GPUBENCH, LONG, QUICK, TWO, Running, environment, gpubench
from tests.running import PATIENCE_SECONDS


def test_json_prints_only_the_document_on_stdout(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    ran = gpubench("run", "triad", "copy", *QUICK, "--json", "--out", str(out), "--set=dtype=float")
    assert ran.returncode == 0, ran.stderr
    document = decode_document(ran.stdout)
    assert ran.stdout.encode() == encode_document(document) + b"\n" == out.read_bytes()
    assert document.outcome == "ok"
    assert [m.benchmark for m in document.measurements] == ["triad", "copy"]
    assert all(m.verified for m in document.measurements)
    assert {m.parameters["footprint_bytes"] for m in document.measurements} == {16 << 20}
    assert document.measurements[0].parameters["dtype"] == "float"
    assert list(tmp_path.iterdir()) == [out]
    tool = [sys.executable, "-m", "json.tool"]
    subprocess.run(tool, input=ran.stdout, text=True, check=True, stdout=subprocess.DEVNULL)
    lines = [line.split(",")[0] for line in ran.stderr.splitlines()]
    # On a busy machine there are lines in between that say where a benchmark is.
    accepted, *others = [line for line in lines if line not in ("triad", "copy")]
    assert accepted == f"run {document.run_id}: accepted"
    assert others == ["triad: started", "triad: finished", "copy: started", "copy: finished", f"wrote {out}"]
    assert all("GB/s" in line for line in ran.stderr.splitlines() if ": finished" in line)


def test_labels_and_the_host_are_in_the_document(url: str) -> None:
    """Through a server too; and they belong to the request that a key names."""
    common = [*QUICK, "--server", url, "--json", "--label=node=rack7", "--key=labelled"]
    ran = gpubench("run", "triad", *common, "--label", "team=a b")
    assert ran.returncode == 0, ran.stderr
    document = decode_document(ran.stdout)
    assert document.labels == {"node": "rack7", "team": "a b"}
    assert document.environment is not None
    assert document.environment.host.name == platform.node()
    [m] = document.measurements
    assert m.huge_page_ratio is not None
    ran = gpubench("run", "triad", *common, "--label=team=other")
    assert ran.returncode == 2
    assert "--key: the key 'labelled' belongs to run" in ran.stderr


def test_memory_on_small_pages_is_said(tmp_path: Path) -> None:
    """With huge pages switched off for the process, whatever the system's setting is."""
    out = tmp_path / "run.json"
    no_huge_pages = (
        "import ctypes, os, sys; assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0; "  # PR_SET_THP_DISABLE
        "os.execv(sys.executable, sys.argv[1:])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", no_huge_pages, *GPUBENCH, "run", "triad", *QUICK, "--out", str(out)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    [m] = decode_document(out.read_bytes()).measurements
    assert m.huge_page_ratio == 0.0
    assert "Only 0.0 % of the memory was on huge pages" in ran.stdout


def test_a_curve_has_its_own_table(url: str) -> None:
    ran = gpubench("run", "mix", "--footprint=16MiB", "--time-limit=0.05", "--server", url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "mix: finished, 6 points"
    assert len([line for line in ran.stdout.splitlines() if "█" in line]) == 6
    assert "GDDR7" not in ran.stdout  # compared with no reference
    assert "\nmix: " in ran.stdout  # its findings


def test_default_output_is_device_figures_and_comparison(url: str) -> None:
    ran = gpubench("run", "triad", *QUICK, "--memory=ddr5-4800", "--bus-width=128", "--server", url)
    assert ran.returncode == 0, ran.stderr
    device = ran.stdout.splitlines()[0]
    assert "opencl:" in device
    for words in ("triad", "GB/s", "cached_footprint"):
        assert words in ran.stdout
    assert ESCAPE not in ran.stdout + ran.stderr


@pytest.mark.timing
def test_an_interrupted_run_keeps_finished_benchmarks(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with Running("run", "triad", "copy", *TWO, "--json", "--out", str(out)) as running:
        running.wait_for("copy: started")
        running.interrupt()
        code, stdout, stderr = running.end()
    assert code == 130
    document = decode_document(stdout)
    assert out.read_bytes() == stdout.encode()
    assert document.outcome == "cancelled"
    assert [m.benchmark for m in document.measurements if m.status == "ok"] == ["triad"]
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "gpubench: interrupted"


def test_the_second_interrupt_exits_at_once() -> None:
    with Running("run", "triad", *LONG, "--json") as running:
        running.wait_for("triad: started")
        (worker,) = running.children()
        os.kill(worker, signal.SIGSTOP)  # as if a driver's call hung
        try:
            running.interrupt()
            running.wait_for("^C again to exit at once")
            running.interrupt()
            running.process.wait(PATIENCE_SECONDS)
        finally:
            os.kill(worker, signal.SIGCONT)
        code, stdout, stderr = running.end()
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "gpubench: interrupted"


def test_a_killed_worker_is_reported_with_a_document(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    with Running("run", "triad", *LONG, "--out", str(out)) as running:
        running.wait_for("triad: started")
        (worker,) = running.children()
        os.kill(worker, signal.SIGKILL)
        code, _, stderr = running.end()
    assert code == 1
    assert decode_document(out.read_bytes()).outcome == "device_lost"
    assert "SIGKILL" in stderr.splitlines()[-1]


def test_a_failed_run_gives_a_document(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    ran = gpubench("run", "triad", "--footprint=60TiB", "--json", "--out", str(out))
    assert ran.returncode == 1
    assert out.read_bytes() == ran.stdout.encode()
    document = decode_document(ran.stdout)
    assert document.outcome == "failed"
    assert document.error is not None
    assert document.error.kind == "out_of_device_memory"
    assert ran.stderr.splitlines()[-1] == f"gpubench: {document.error.message}"


def test_a_missed_deadline_gives_a_document() -> None:
    ran = gpubench("run", "triad", *LONG, "--deadline=2", "--json")
    assert ran.returncode == 1
    assert decode_document(ran.stdout).outcome == "timeout"
    assert "deadline" in ran.stderr.splitlines()[-1]


def test_out_is_checked_before_measuring(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for bad in (file / "run.json", tmp_path / "no folder" / "run.json"):
        ran = gpubench("run", "triad", *LONG, "--out", str(bad))
        assert ran.returncode == 2
        assert ran.stdout == ""
        assert f"{bad} cannot be written" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_repeated_runs_have_a_file_each_and_show_their_spread(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "new" / "runs"
    quick = ["run", "triad", *QUICK, "--set=stop=count", "--set=samples=5", "--server", url]
    ran = gpubench(*quick, "--repeat=3", "--out", f"{folder}/")
    assert ran.returncode == 0, ran.stderr
    files = sorted(folder.iterdir())
    documents = [decode_document(path.read_bytes()) for path in files]
    assert len({document.run_id for document in documents}) == len(files) == 3
    assert [document.created_at for document in documents] == sorted(d.created_at for d in documents)
    assert "All 3 runs together" in ran.stdout
    spread = ran.stdout.partition("From run to run")[2]
    assert "spread" in spread.splitlines()[2]
    again = gpubench(*quick, "--out", str(folder), "--json")
    assert again.returncode == 0, again.stderr
    assert len(list(folder.iterdir())) == 4
    assert all(path.exists() for path in files)
    compared = gpubench("compare", str(folder), str(files[0]), "--json")
    assert json.loads(compared.stdout)["rows"][0]["figures"][0]["runs"] == 4


def test_the_first_run_that_fails_ends_the_series(tmp_path: Path) -> None:
    ran = gpubench("run", "triad", "--footprint=60TiB", "--repeat=3", "--out", f"{tmp_path}/runs/", "--json")
    assert ran.returncode == 1
    [path] = (tmp_path / "runs").iterdir()
    assert decode_document(path.read_bytes()).outcome == "failed"


def test_a_full_disk_still_shows_the_document(url: str) -> None:
    ran = gpubench("run", "triad", *QUICK, "--json", "--out=/dev/full", "--server", url)
    assert ran.returncode == 1
    assert decode_document(ran.stdout).outcome == "ok"
    assert "No space left" in ran.stderr.splitlines()[-1]
    saved = Path(ran.stderr.rpartition("it is in ")[2].split()[0])
    assert saved.read_bytes().decode() == ran.stdout
    saved.unlink()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_stdout_is_an_error_in_one_line(more: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*GPUBENCH, "theory", "RTX 5090", *more],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (
        1,
        "gpubench: stdout cannot be written: No space left on device\n",
    )


def test_a_full_stderr_does_not_end_the_run(url: str) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*GPUBENCH, "run", "triad", *QUICK, "--json", "--server", url],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            env=environment(),
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert ran.returncode == 0
    assert decode_document(ran.stdout).outcome == "ok"


@pytest.mark.parametrize(("closed", "board", "code"), [("1", "RTX 5090", 0), ("2", "RTX 1", 2)])
def test_a_closed_stream_is_not_an_error(closed: str, board: str, code: int) -> None:
    """By the shell (``>&-``), or by a service manager."""
    ran = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *GPUBENCH, "theory", board],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", "")


@pytest.mark.parametrize("command", [["benchmarks"], ["theory", "RTX 5090", "--json"]])
def test_a_broken_pipe_is_not_an_error(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [*GPUBENCH, *command, "--quiet"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")
