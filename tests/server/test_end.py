"""How the server shuts down: in order, and every client gets a response."""

from __future__ import annotations

import json
import os
import pty
import signal
from pathlib import Path

import pytest

from tests.running import PATIENCE_SECONDS, Lines, RunningServer, leads_session, long, quick, within


def test_an_idle_server_ends_at_once_with_its_workers(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, server.connect() as client:
        client.ask("run", {"benchmarks": [quick()]})
        workers = server.children()
        assert workers
        assert server.stop() == 0
        assert client.ended()
        assert within(PATIENCE_SECONDS, lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.timing
def test_draining_finishes_current_runs_and_refuses_new_ones(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        with server.connect() as client, server.connect() as waiting, server.connect() as late:
            late.ask("ping")
            client.begin_measuring(quick(time_limit_seconds=3, target_ratio=0.0001))
            waiting.begin(quick())
            server.process.send_signal(signal.SIGTERM)
            error = waiting.response()["error"]
            assert (error["code"], error["data"]["kind"], error["data"]["retryable"]) == (
                -32010,
                "draining",
                True,
            )
            assert error["data"]["document"]["outcome"] == "cancelled"
            assert late.refused("run", {"benchmarks": [quick()]})["code"] == -32010
            assert late.ask("status")["state"] == "draining"
            assert server.get("/readyz") == (503, "draining: the server is shutting down\n")
            with pytest.raises(ConnectionRefusedError):
                Lines(server.tcp)
            assert client.response()["result"]["outcome"] == "ok"
            assert client.ended()
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cancels(tmp_path: Path, number: signal.Signals) -> None:
    with RunningServer(tmp_path) as server, server.connect() as client:
        client.begin_measuring(long())
        server.process.send_signal(number)
        client.notified("progress", lambda _: server.get("/readyz")[0] == 503)
        server.process.send_signal(number)
        error = client.response()["error"]
        assert error["data"]["kind"] == "cancelled"
        assert "stopped" in error["message"]
        assert server.wait() == 0


def test_a_run_survives_a_signal_to_the_whole_service(tmp_path: Path) -> None:
    """systemd's SIGTERM is for every process of a service, Slurm's for every process of a job."""
    with RunningServer(tmp_path) as server, server.connect() as client:
        client.begin_measuring(quick(time_limit_seconds=1, target_ratio=0.0001))
        for pid in (*server.children(), server.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert client.response()["result"]["outcome"] == "ok"
        assert server.wait() == 0


def test_a_hangup_without_a_terminal_changes_nothing(tmp_path: Path) -> None:
    with RunningServer(tmp_path, prepare=leads_session(None)) as server:
        server.process.send_signal(signal.SIGHUP)
        assert within(
            PATIENCE_SECONDS, lambda: "SIGHUP: reading certificate and tokens again" in " ".join(server.log)
        )
        server.run_ok()
        assert server.stop() == 0


def test_a_closed_terminal_drains(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with RunningServer(tmp_path, prepare=leads_session(theirs)) as server, server.connect() as client:
        os.close(theirs)
        client.begin_measuring(quick(time_limit_seconds=1, target_ratio=0.0001))
        os.close(ours)
        client.notified("progress", lambda _: server.get("/readyz")[0] == 503)
        server.process.send_signal(signal.SIGHUP)  # again, as shells do
        assert client.response()["result"]["outcome"] == "ok"
        assert server.wait() == 0


def test_a_run_that_outlasts_the_drain_is_cancelled(tmp_path: Path) -> None:
    with RunningServer(tmp_path, drain_seconds=0.3) as server, server.connect() as client:
        client.begin_measuring(long())
        server.process.send_signal(signal.SIGTERM)
        assert client.response()["error"]["data"]["kind"] == "cancelled"
        assert server.wait() == 0


def test_the_address_file_exists_while_the_server_listens(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    with RunningServer(tmp_path / "data", "--address-file", str(path)) as server:
        server.ask("ping")
        assert within(PATIENCE_SECONDS, path.exists)
        addresses = json.loads(path.read_text())
        assert addresses == {
            "tcp": f"tcp://127.0.0.1:{server.tcp[1]}",
            "http": f"http://127.0.0.1:{server.http[1]}",
        }
        server.stop()
        assert not path.exists()


def test_an_address_file_replaces_only_an_address_file(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    for theirs in ("[]", "1", '{"schema": 2}', "text"):
        path.write_text(theirs)
        with pytest.raises(RuntimeError, match="is not a server's address file"):
            RunningServer(tmp_path / "data", "--address-file", str(path))
        assert path.read_text() == theirs
    path.write_text('{"tcp": "tcp://127.0.0.1:1"}')  # of a server that was killed
    with RunningServer(tmp_path / "data", "--address-file", str(path)) as server:
        assert within(PATIENCE_SECONDS, lambda: str(server.tcp[1]) in path.read_text())
        server.stop()
    assert not path.exists()
