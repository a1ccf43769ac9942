"""Faults of workers, disks, ports and settings: each is reported, loses no results, and is recovered from."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gpubench_client import Client

from gpubench.errors import UnsupportedDocument
from gpubench.results.store import FILE_NAME
from tests.client.conftest import url_of
from tests.results.edit import replace_document
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, long, quick, within

FULL_DISK = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")


def failed_start(*options: str, before: tuple[str, ...] = (), code: int = 1) -> str:
    """The error output of a server that must not start."""
    ended = subprocess.run(
        [*before, sys.executable, "-m", "gpubench_server", *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_worker_killed_during_a_run(server: RunningServer) -> None:
    with server.connect() as client:
        run_id = client.begin_measuring(long())
        (worker,) = server.children()
        os.kill(worker, signal.SIGKILL)
        error = client.response()["error"]
        assert (error["code"], error["data"]["kind"], error["data"]["retryable"]) == (
            -32021,
            "device_lost",
            True,
        )
        assert "SIGKILL" in error["message"]
        assert error["data"]["document"]["run_id"] == run_id
        assert error["data"]["document"]["outcome"] == "device_lost"
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"


def test_a_worker_killed_between_runs_is_replaced(server: RunningServer) -> None:
    server.run_ok()
    (worker,) = server.children()
    os.kill(worker, signal.SIGKILL)
    assert within(PATIENCE_SECONDS, lambda: server.children() == [])
    server.run_ok()


def test_finished_measurements_of_a_lost_run_are_kept(server: RunningServer) -> None:
    with server.connect() as client:
        client.request("run", {"benchmarks": [quick("copy"), long("triad")]})
        client.notified("progress", lambda p: (p["benchmark"], p["phase"]) == ("triad", "measuring"))
        (worker,) = server.children()
        os.kill(worker, signal.SIGKILL)
        document = client.response()["error"]["data"]["document"]
        statuses = [(m["benchmark"], m["status"]) for m in document["measurements"]]
        assert statuses == [("copy", "ok"), ("triad", "failed")]


def test_a_worker_that_hangs_is_replaced(server: RunningServer) -> None:
    with server.connect() as client:
        run_id = client.begin_measuring(long())
        (worker,) = server.children()
        os.kill(worker, signal.SIGSTOP)  # as in a driver call that does not return
        server.ask("cancel", {"run_id": run_id})
        assert client.response()["error"]["data"]["kind"] == "cancelled"
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"


def test_a_server_killed_during_a_run_loses_nothing_finished(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        sent = server.run_ok()
        with server.connect() as client:
            client.request("run", {"benchmarks": [quick("copy"), long("triad")], "key": "mine"})
            run_id = client.notified("accepted", lambda _: True)["run_id"]
            client.notified("progress", lambda p: (p["benchmark"], p["phase"]) == ("triad", "measuring"))
            server.kill()
    with RunningServer(tmp_path) as server:
        assert server.ask("result", {"run_id": sent["run_id"]}) == sent
        interrupted = server.ask("result", {"run_id": run_id})
        assert interrupted["outcome"] == "failed"
        assert (interrupted["error"]["kind"], interrupted["error"]["retryable"]) == ("interrupted", True)
        assert [m["benchmark"] for m in interrupted["measurements"]] == ["copy"]
        states = {run["run_id"]: run["state"] for run in server.ask("results")["runs"]}
        assert states == {sent["run_id"]: "finished", run_id: "finished"}
        # The key can be used again: the retry is a run of its own.
        with server.connect() as client:
            assert client.begin_measuring(long(), key="mine") != run_id


def test_a_run_that_ended_its_server_names_its_device(tmp_path: Path) -> None:
    """Before anything was measured: the device may be what ended the server."""
    with RunningServer(tmp_path) as server:
        known = server.run_ok()["device"]
        with server.connect() as client:
            run_id = client.begin_measuring(long())
            server.kill()
    with RunningServer(tmp_path) as server:
        interrupted = server.ask("result", {"run_id": run_id})
        assert (interrupted["error"]["kind"], interrupted["measurements"]) == ("interrupted", [])
        assert interrupted["device"] == known
        assert interrupted["environment"]["program_version"]


def test_a_result_that_was_sent_is_never_lost(tmp_path: Path) -> None:
    sent = []
    for _ in range(3):
        with RunningServer(tmp_path) as server:
            sent.append(server.run_ok(quick(footprint_bytes=1 << 20, time_limit_seconds=0.02)))
            server.kill()  # as soon as the response has been read
    with RunningServer(tmp_path) as server:
        for document in sent:
            assert server.ask("result", {"run_id": document["run_id"]}) == document


def test_a_key_means_one_run_across_a_restart(tmp_path: Path) -> None:
    request = {"benchmarks": [quick()], "key": "tuesday"}
    with RunningServer(tmp_path) as server:
        first = server.ask("run", request)
        assert server.ask("run", request) == first
    with RunningServer(tmp_path) as server, server.connect() as client:
        assert client.ask("run", request) == first
        assert [n["params"]["replayed"] for n in client.notifications] == [True]
        error = client.refused("run", {"benchmarks": [quick("copy")], "key": "tuesday"})
        assert error["data"]["kind"] == "key_conflict"
        assert error["data"]["run_id"] == first["run_id"]


def test_a_retry_needs_neither_device_nor_benchmark(tmp_path: Path) -> None:
    """It gets its document after the device has gone and an update has dropped the benchmark."""
    with RunningServer(tmp_path) as server:
        first = server.ask("run", {"benchmarks": [quick()], "key": "tuesday"})
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        (request,) = database.execute("SELECT request FROM runs").fetchone()
        database.execute("UPDATE runs SET request = ?", (request.replace('"triad"', '"dropped"'),))
    with RunningServer(tmp_path, "--runtime", "cuda", environment={"CUDA_VISIBLE_DEVICES": "-1"}) as server:
        assert server.ask("run", {"benchmarks": [quick("dropped")], "key": "tuesday"}) == first
        with server.connect() as client:
            unknown = client.refused("run", {"benchmarks": [quick("dropped")], "key": "wednesday"})
            assert unknown["data"]["kind"] == "unknown_benchmark"
            gone = client.refused("run", {"benchmarks": [quick()], "key": "wednesday"})
            assert gone["data"]["kind"] == "no_such_device"


def test_unreadable_documents_do_not_keep_a_server_down(tmp_path: Path) -> None:
    """One is damaged, one was written by a newer program; a third is served as before."""
    with RunningServer(tmp_path) as server:
        # Each is the last run of a series of the metrics, which are read back.
        damaged, newer, kept = (server.run_ok(quick(name)) for name in ("copy", "add", "triad"))
    replace_document(tmp_path / FILE_NAME, damaged["run_id"], b'{"schema": 1, "run')
    replace_document(tmp_path / FILE_NAME, newer["run_id"], json.dumps({**newer, "schema": 99}))
    with RunningServer(tmp_path) as server:
        assert server.ask("result", {"run_id": kept["run_id"]}) == kept
        for document in (damaged, newer):
            assert any(f"left out: run {document['run_id']} " in line for line in server.log)
        with pytest.raises(UnsupportedDocument, match="version 99"), Client(url_of(server)) as client:
            client.result(newer["run_id"])
        server.run_ok()


def let_files_grow_to(nbytes: int, process: int) -> None:
    """As on a full disk: writes beyond this size fail, and what is stored can be read."""
    hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, (nbytes, hard))


def test_a_run_that_ends_on_a_full_disk_is_stored_later(tmp_path: Path) -> None:
    work = {"benchmarks": [quick(), quick("copy")], "key": "mine"}
    with RunningServer(tmp_path) as server:
        with server.connect() as client:
            client.request("run", work)
            client.notified("progress", lambda p: (p["benchmark"], p["phase"]) == ("copy", "measuring"))
            let_files_grow_to(1, server.process.pid)
            error = client.response()["error"]
            assert (error["data"]["kind"], error["data"]["retryable"]) == ("store_error", False)
            assert "kept in memory" in error["message"]
            document = error["data"]["document"]
            assert [m["status"] for m in document["measurements"]] == ["ok", "ok"]
            assert client.refused("run", {"benchmarks": [quick()]})["data"]["kind"] == "store_error"
            assert client.ask("result", {"run_id": document["run_id"]}) == document
            (state,) = client.ask("results")["runs"]
            assert (state["state"], state["outcome"]) == ("finished", "ok")
            assert state["finished_at"] == document["finished_at"]
            let_files_grow_to(resource.RLIM_INFINITY, server.process.pid)
            assert client.ask("run", work) == document
        server.kill()
    with RunningServer(tmp_path) as server:
        assert server.ask("result", {"run_id": document["run_id"]}) == document


@pytest.mark.timing
def test_unstored_runs_are_stored_when_the_server_stops(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        with server.connect() as client:
            client.begin_measuring(quick(time_limit_seconds=1))
            let_files_grow_to(1, server.process.pid)
            document = client.response()["error"]["data"]["document"]
        let_files_grow_to(resource.RLIM_INFINITY, server.process.pid)
        assert server.stop() == 0
    with RunningServer(tmp_path) as server:
        assert server.ask("result", {"run_id": document["run_id"]}) == document


@pytest.mark.timing
def test_runs_that_are_lost_at_the_end_are_named(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        with server.connect() as client:
            run_id = client.begin_measuring(quick(time_limit_seconds=1))
            let_files_grow_to(1, server.process.pid)
            client.response()
        assert server.stop() == 0
        named = f"lost with this process: runs {run_id}"
        assert within(PATIENCE_SECONDS, lambda: any(named in line for line in server.log))


@pytest.mark.parametrize("streams", ["0<&- 1>&- 2>&-", "2>&-", "2>/dev/full"])
def test_a_server_runs_without_standard_streams(tmp_path: Path, streams: str) -> None:
    """It does not write into files that got a stream's number."""
    data, addresses = tmp_path / "data", tmp_path / "addresses.json"
    command = [sys.executable, "-m", "gpubench_server", "--listen", "tcp://127.0.0.1:0"]
    command += ["--http", "127.0.0.1:0", "--data-dir", str(data), "--address-file", str(addresses)]
    with subprocess.Popen(["sh", "-c", f'exec "$@" {streams}', "sh", *command]) as process:
        try:
            assert within(PATIENCE_SECONDS, addresses.exists)
            url = urlsplit(json.loads(addresses.read_text())["tcp"])
            with Lines((str(url.hostname), int(url.port or 0))) as client:
                assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"
            taken = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
            assert not any(each.startswith((str(data), "socket:")) for each in taken)
        finally:
            process.terminate()
    assert process.returncode == 0


def test_a_start_on_a_full_disk_is_refused(tmp_path: Path) -> None:
    error = failed_start("--http", "127.0.0.1:0", "--data-dir", str(tmp_path), before=FULL_DISK)
    assert f"the store {tmp_path}" in error and "cannot be used" in error


def test_a_port_in_use_is_named(server: RunningServer, tmp_path: Path) -> None:
    host, port = server.tcp
    error = failed_start(
        "--listen", f"tcp://{host}:{port}", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path)
    )
    assert f"{host}:{port} is in use" in error
    host, port = server.http
    error = failed_start(
        "--listen", "tcp://127.0.0.1:0", "--http", f"{host}:{port}", "--data-dir", str(tmp_path)
    )
    assert f"{host}:{port} is in use" in error


def test_a_data_directory_in_use_is_named(server: RunningServer) -> None:
    directory = str(server.data_directory)
    error = failed_start("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", directory)
    assert directory in error
    assert f"process {server.process.pid}" in error


@pytest.mark.parametrize("url", ["tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://:0"])
def test_other_machines_are_served_only_with_insecure(tmp_path: Path, url: str) -> None:
    error = failed_start("--listen", url, "--http", "127.0.0.1:0", "--data-dir", str(tmp_path), code=2)
    assert "--insecure" in error
    options = ("--insecure", "--listen", url)
    with RunningServer(tmp_path, *options) as server:
        server.tcp = ("127.0.0.1", server.tcp[1])
        server.ask("ping")


@pytest.mark.parametrize(
    "url", ["udp://127.0.0.1:1", "127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"]
)
def test_addresses_that_are_not_valid(tmp_path: Path, url: str) -> None:
    error = failed_start("--listen", url, "--http", "127.0.0.1:0", "--data-dir", str(tmp_path), code=2)
    assert url in error


def test_an_address_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "addresses.json"
    options = ("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--address-file", str(path))
    error = failed_start(*options, "--data-dir", str(tmp_path / "data"), code=2)
    assert f"{path} cannot be written: No such file" in error


def test_an_unknown_limit_names_the_known_ones(tmp_path: Path) -> None:
    error = failed_start("--limit", "max_fun=1", "--data-dir", str(tmp_path), code=2)
    assert "max_connections" in error


def test_without_a_device_the_reason_is_reported(tmp_path: Path) -> None:
    # No GPU is shown to the worker, whether this machine has one or not.
    with RunningServer(tmp_path, "--runtime", "cuda", environment={"CUDA_VISIBLE_DEVICES": "-1"}) as server:
        with server.connect() as client:
            error = client.refused("run", {"benchmarks": [quick()]})
            assert (error["code"], error["data"]["kind"]) == (-32020, "no_such_device")
            assert "cuda: " in error["message"]
            (runtime,) = client.ask("devices")["runtimes"]
            assert not runtime["available"]
            assert runtime["reason"] in error["message"]
            assert client.ask("status")["state"] == "no_device"
        assert server.get("/readyz") == (503, f"no_device: cuda: {runtime['reason']}\n")
        assert server.get("/healthz")[0] == 200


@pytest.mark.timing
def test_an_idle_client_is_disconnected(tmp_path: Path) -> None:
    with RunningServer(tmp_path, idle_seconds=0.3) as server:
        with server.connect() as idle:
            idle.ask("ping")
            assert idle.ended()
        with server.connect() as busy:  # a run may take longer than that
            assert busy.ask("run", {"benchmarks": [quick(time_limit_seconds=1)]})["outcome"] == "ok"


def test_no_second_server_can_share_the_port(server: RunningServer) -> None:
    with socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match=r"in use"):
            second.bind(server.tcp)
