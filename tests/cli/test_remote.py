"""The same commands against a server."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from gpubench_client import BenchmarkRequest, Client

from gpubench.results.document import decode_document
from tests.cli.command import LONG, QUICK, TWO, Running, gpubench
from tests.client.conftest import url_of
from tests.running import RunningServer, long, within


def test_result_fetches_the_document_of_a_run(url: str, tmp_path: Path) -> None:
    out = tmp_path / "later.json"
    ran = gpubench("run", "triad", *QUICK, "--json", "--server", url)
    assert ran.returncode == 0, ran.stderr
    document = decode_document(ran.stdout)
    later = gpubench("result", document.run_id, "--json", "--out", str(out), GPUBENCH_SERVER=url)
    assert later.returncode == 0
    assert later.stdout == ran.stdout == out.read_text()
    shown = gpubench("result", document.run_id, "--server", url)
    assert "triad" in shown.stdout
    assert gpubench("result", "nope", "--server", url).returncode == 2


def test_devices_and_benchmarks_of_a_server(url: str) -> None:
    assert json.loads(gpubench("devices", "--server", url, "--json").stdout)["devices"]
    assert json.loads(gpubench("benchmarks", "--server", url, "--json").stdout)["suites"]


def test_a_detached_run_continues_on_the_server(url: str) -> None:
    ran = gpubench("run", "triad", *QUICK, "--detach", "--server", url)
    assert ran.returncode == 0
    run_id = ran.stdout.strip()
    assert f"gpubench result {run_id}" in ran.stderr
    assert within(30, lambda: gpubench("result", run_id, "--json", "--server", url).returncode == 0)
    as_json = gpubench("run", "triad", *QUICK, "--detach", "--server", url, "--json")
    assert json.loads(as_json.stdout)["run_id"]


def test_result_ends_like_the_run(server: RunningServer, url: str) -> None:
    run_id = gpubench("run", "triad", *LONG, "--detach", "--server", url).stdout.strip()
    with Client(url) as client:
        assert within(30, lambda: server.running() == run_id)
        client.cancel(run_id)
    assert within(30, lambda: server.running() is None)
    ran = gpubench("result", run_id, "--server", url)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"gpubench: run {run_id}: ")
    assert "cancel" in ran.stderr


def test_an_interrupted_run_keeps_finished_benchmarks(
    server: RunningServer, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "run.json"
    with Running("run", "triad", "copy", *TWO, "--out", str(out), "--server", url) as running:
        running.wait_for("copy: started")
        running.interrupt()
        code, stdout, _ = running.end()
    assert code == 130
    document = decode_document(out.read_bytes())
    assert document.outcome == "cancelled"
    assert [m.benchmark for m in document.measurements if m.status == "ok"] == ["triad"]
    assert " triad " in stdout
    assert " copy " not in stdout.partition("Against references")[0]
    assert server.running() is None


def test_the_second_interrupt_exits_and_the_server_cancels(server: RunningServer, url: str) -> None:
    with Running("run", "triad", *LONG, "--json", "--server", url) as running:
        running.wait_for("triad: started")
        server.process.send_signal(signal.SIGSTOP)  # a server that does not answer the cancel
        try:
            running.interrupt()
            running.wait_for("^C again to exit at once")
            running.interrupt()
            code, stdout, _ = running.end()
        finally:
            server.process.send_signal(signal.SIGCONT)
    assert (code, stdout) == (130, "")
    assert within(10, lambda: server.running() is None)


def test_a_killed_server_is_exit_code_4(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        with Running("run", "triad", *LONG, "--json", "--server", url_of(server)) as running:
            run_id = running.wait_for("accepted").split()[1].rstrip(":")
            running.wait_for("triad: started")
            server.kill()
            code, stdout, stderr = running.end()
        assert (code, stdout) == (4, "")
        assert run_id in stderr.splitlines()[-1]


def test_a_full_queue_is_retried_or_exit_code_4(tmp_path: Path) -> None:
    with RunningServer(tmp_path, max_queue_length=1) as server, Client(url_of(server)) as client:
        runs = [client.submit([BenchmarkRequest(**long())]) for _ in range(2)]
        refused = gpubench("run", "triad", *QUICK, "--server", url_of(server), "--wait=0")
        assert refused.returncode == 4
        (line,) = refused.stderr.splitlines()
        with Running("run", "triad", *QUICK, "--server", url_of(server), "--wait=600", "--json") as patient:
            assert line.removeprefix("gpubench: ") in patient.wait_for("trying again in")
            patient.interrupt()
            assert patient.end()[:2] == (130, "")
        for run in reversed(runs):
            client.cancel(run.run_id)
