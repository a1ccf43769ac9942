"""The commands about a server and its runs."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest
from gpubench_client import BenchmarkRequest, Client
from gpubench_client.cli.service_tables import status_lines

from gpubench.protocol.messages import Status
from gpubench.results.document import decode_document
from tests.cli.command import LONG, QUICK, Running, gpubench
from tests.client.conftest import url_of
from tests.running import RunningServer, long, within


@contextlib.contextmanager
def long_run(server: RunningServer) -> Iterator[str]:
    """The id of a detached run that is running, until it is cancelled or the test ends."""
    with Client(url_of(server)) as client:
        run_id = client.submit([BenchmarkRequest(**long())]).run_id
        assert within(30, lambda: server.running() == run_id)
        try:
            yield run_id
        finally:
            client.cancel(run_id)
            assert within(30, lambda: server.running() is None)


def state_of(run_id: str, url: str) -> str:
    """As ``gpubench runs`` shows it."""
    (line,) = [each for each in gpubench("runs", "--server", url).stdout.splitlines() if run_id in each]
    return line.split()[1]


def test_status_and_runs_of_a_server_at_work(server: RunningServer, url: str) -> None:
    with long_run(server) as run_id:
        shown = gpubench("status", "--server", url)
        assert shown.returncode == 0
        assert ": ready, up for 0:0" in shown.stdout
        (row,) = [line for line in shown.stdout.splitlines() if run_id in line]
        (queue,) = json.loads(gpubench("status", "--json", GPUBENCH_SERVER=url).stdout)["queues"]
        assert queue["device"] in row
        assert queue["running"] == run_id
        assert state_of(run_id, url) == "running"
        (newest,) = json.loads(gpubench("runs", "--limit=1", "--json", "--server", url).stdout)["runs"]
        assert (newest["run_id"], newest["benchmarks"]) == (run_id, ["triad"])
        of_device = gpubench("runs", "--device", queue["device"], "--server", url)
        assert run_id in of_device.stdout
    assert state_of(run_id, url) == "cancelled"
    none = gpubench("runs", "--device=nope", "--server", url)
    assert (none.returncode, none.stdout) == (0, "")
    assert "'nope'" in none.stderr


def test_a_server_that_takes_no_runs_says_why() -> None:
    status = Status("draining", "1.0", 93_784.9, 1, [], ["it is shutting\ndown"])
    assert status_lines(status) == [
        "gpubench-server 1.0: draining, up for 1 day, 2:03:04, 1 connection",
        "it is shutting down",
    ]


def test_cancel(server: RunningServer, url: str) -> None:
    with long_run(server) as run_id:
        ran = gpubench("cancel", run_id[:10], "--server", url)
        assert (ran.returncode, ran.stdout) == (0, f"run {run_id}: cancelled\n")
        assert within(30, lambda: server.running() is None)
    again = gpubench("cancel", run_id, "--server", url)
    assert (again.returncode, again.stdout) == (0, f"run {run_id}: had ended already\n")
    as_json = gpubench("cancel", run_id, "--json", "--server", url)
    assert json.loads(as_json.stdout) == {"run_id": run_id, "cancelled": False}


def test_watch_shows_progress_and_the_result(url: str, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    run_id = gpubench("run", "triad", *QUICK, "--time-limit=2", "--detach", "--server", url).stdout.strip()
    ran = gpubench("watch", run_id[:12], "--json", "--out", str(out), "--server", url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == out.read_text() == gpubench("result", run_id[:12], "--json", "--server", url).stdout
    assert decode_document(ran.stdout).outcome == "ok"
    assert "triad: started" in ran.stderr
    assert "triad: finished" in ran.stderr


def test_watch_ends_like_the_run(server: RunningServer, url: str) -> None:
    with long_run(server) as run_id, Running("watch", run_id, "--json", "--server", url) as running:
        running.wait_for("triad: started")
        assert gpubench("cancel", run_id, "--server", url).returncode == 0
        code, stdout, stderr = running.end()
    assert code == 1
    assert decode_document(stdout).outcome == "cancelled"
    assert stderr.splitlines()[-1].startswith(f"gpubench: run {run_id}: ")


@pytest.mark.parametrize("number", [Signals.SIGINT, Signals.SIGTERM])
def test_a_signal_ends_the_watching_and_not_the_run(number: Signals, server: RunningServer, url: str) -> None:
    with long_run(server) as run_id:
        with Running("watch", run_id, "--server", url) as running:
            running.wait_for("triad: started")
            running.process.send_signal(number)
            code, stdout, stderr = running.end()
        assert (code, stdout) == (128 + number, "")
        assert f"`gpubench watch {run_id}`" in stderr
        assert server.running() == run_id


def test_watch_of_a_server_that_died_is_exit_code_4(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        run_id = gpubench("run", "triad", *LONG, "--detach", "--server", url_of(server))
        with Running("watch", run_id.stdout.strip(), "--wait=1", "--server", url_of(server)) as running:
            running.wait_for("triad: started")
            server.kill()
            running.wait_for("trying again in")
            code, stdout, stderr = running.end()
    assert (code, stdout) == (4, "")
    assert "no server answers" in stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["result", "watch", "cancel"])
def test_the_id_of_no_run(command: str, url: str) -> None:
    with Client(url) as client:
        run_id = client.submit([BenchmarkRequest(**long())]).run_id
        client.cancel(run_id)
    typo = run_id[:-1] + ("1" if run_id[-1] != "1" else "2")
    for wrong, said in (
        (typo, f"no run {typo!r}; did you mean {run_id}?"),
        ("nope", "no run 'nope'; `gpubench runs` lists"),
        ("", "1 to 128 characters"),
        ("x" * 129, "1 to 128 characters"),
    ):
        ran = gpubench(command, wrong, "--server", url)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith("gpubench: RUN_ID: ")
        assert said in ran.stderr


def test_the_beginning_of_several_ids(url: str) -> None:
    with Client(url) as client:

        def alike() -> list[str]:
            """The ids that begin with the same character; by the 17th run there are some."""
            known = sorted(run.run_id for run in client.results(1000).runs)
            groups = [list(each) for _, each in itertools.groupby(known, key=lambda run_id: run_id[0])]
            return max(groups, key=len, default=[])

        while len(several := alike()) < 2:
            client.cancel(client.submit([BenchmarkRequest(**long())]).run_id)
    ran = gpubench("cancel", several[0][0], "--server", url)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{len(several)} runs begin with {several[0][0]!r}" in ran.stderr


@pytest.mark.parametrize("arguments", [["runs"], ["status"], ["cancel", "x"], ["watch", "x"]])
def test_what_needs_a_server_says_so(arguments: list[str]) -> None:
    ran = gpubench(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"gpubench: `gpubench {arguments[0]}` needs a server; add --server ")
