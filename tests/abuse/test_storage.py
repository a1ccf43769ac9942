"""Data directories that are lost, full, foreign or damaged under a server: it says so, and loses nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from gpubench_server.metrics_state import MetricsState

from gpubench.results.data_directory import LOCK_NAME
from gpubench.results.machine import DeviceInfo
from gpubench.results.store import FILE_NAME, Store
from tests.abuse.test_faults import failed_start, let_files_grow_to
from tests.documents import document, measurement
from tests.results.edit import cut_pages, replace_document
from tests.results.test_integrity import fill
from tests.running import PATIENCE_SECONDS, RunningServer, quick, within


def says_why(server: RunningServer, reason: str) -> bool:
    """Whether readiness, status, metrics and the log all say that runs cannot be stored, and why."""
    status, body = server.get("/readyz")
    state = server.ask("status")
    return (
        (status, body.startswith("no_store: "), reason in body) == (503, True, True)
        and (state["state"], reason in state["reasons"][0]) == ("no_store", True)
        and server.metric("gpubench_store_writable") == 0
        and any("no runs are accepted" in line and reason in line for line in server.log)
    )


def works_again(server: RunningServer) -> bool:
    return server.get("/readyz") == (200, "ready\n") and server.metric("gpubench_store_writable") == 1


def move_away(server: RunningServer) -> Callable[[], object]:
    elsewhere = server.data_directory.with_name("elsewhere")
    server.data_directory.rename(elsewhere)
    return lambda: elsewhere.rename(server.data_directory)


def fill_the_disk(server: RunningServer) -> Callable[[], object]:
    let_files_grow_to(1, server.process.pid)
    return lambda: let_files_grow_to(resource.RLIM_INFINITY, server.process.pid)


def refuse_inserts(server: RunningServer) -> Callable[[], object]:
    """Something else uses the tables as its own."""

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(server.data_directory / FILE_NAME)) as database, database:
            database.execute(statement)

    execute("CREATE TRIGGER no BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'foreign'); END")
    return lambda: execute("DROP TRIGGER no")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (move_away, "was removed, renamed or replaced while the server was using it"),
        (fill_the_disk, "File too large"),
        (refuse_inserts, "foreign"),
    ],
)
def test_a_spoiled_store_refuses_runs_and_recovers(
    tmp_path: Path, spoil: Callable[[RunningServer], Callable[[], object]], reason: str
) -> None:
    """It says why, and accepts them again once it is put right."""
    with RunningServer(tmp_path / "data") as server:
        before = server.run_ok()
        assert works_again(server)
        mend = spoil(server)
        with server.connect() as client:
            refused = client.refused("run", {"benchmarks": [quick()]})
            assert (refused["code"], refused["data"]["kind"]) == (-32603, "store_error")
            assert client.ask("result", {"run_id": before["run_id"]}) == before
        assert within(PATIENCE_SECONDS, lambda: says_why(server, reason))
        mend()
        assert within(PATIENCE_SECONDS, lambda: works_again(server))
        server.run_ok()


def test_a_server_with_a_foreign_database_is_not_ready(tmp_path: Path) -> None:
    """Also if it has started with it."""
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("ALTER TABLE runs RENAME COLUMN request TO asked")
    with RunningServer(tmp_path) as server:
        status, body = server.get("/readyz")  # from the first moment, without a run that fails
        assert (status, "no_store: " in body, "no column named request" in body) == (503, True, True)


def test_a_run_that_ends_in_a_lost_directory_is_kept(tmp_path: Path) -> None:
    """In memory, until the directory is back."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        with server.connect() as client:
            client.begin_measuring(quick(time_limit_seconds=1, target_ratio=0.0001))
            back = move_away(server)
            error = client.response()["error"]
            assert error["data"]["kind"] == "store_error"
            kept = error["data"]["document"]
        back()
        server.run_ok()
        server.kill()
    with RunningServer(data) as server:
        assert server.ask("result", {"run_id": kept["run_id"]}) == kept


def test_a_removed_lock_file_lets_no_second_server_in(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        (tmp_path / LOCK_NAME).unlink()
        options = ("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path))
        assert "is in use by another gpubench" in failed_start(*options)
        server.run_ok()
        assert (tmp_path / LOCK_NAME).read_text() == f"{server.process.pid}\n"


def test_a_damaged_document_is_said_to_be_damaged(tmp_path: Path) -> None:
    """And its key, which could never be answered again, makes a new run."""
    work = {"benchmarks": [quick()], "key": "mine"}
    with RunningServer(tmp_path) as server:
        damaged = server.ask("run", work)
    replace_document(tmp_path / FILE_NAME, damaged["run_id"], b'{"schema": 1, "run_id": 7}')
    with RunningServer(tmp_path, max_runs_per_connection=1) as server, server.connect() as client:
        for _ in range(3):  # each would keep the only run of this connection, if it left a request behind
            error = client.refused("result", {"run_id": damaged["run_id"]})
            assert (error["code"], error["data"]["kind"]) == (-32603, "invalid_document")
            assert f"run {damaged['run_id']} " in error["message"]
            assert "damaged in the server's store" in error["message"]
        again = client.ask("run", work)
        assert again["run_id"] != damaged["run_id"]
        assert client.ask("run", work) == again
        states = {run["run_id"]: run["state"] for run in client.ask("results")["runs"]}
        assert states == {damaged["run_id"]: "finished", again["run_id"]: "finished"}


def test_the_key_of_a_damaged_document_makes_a_new_run(tmp_path: Path) -> None:
    """At once, when the key is sent again."""
    work = {"benchmarks": [quick()], "key": "mine"}
    with RunningServer(tmp_path) as server:
        damaged = server.ask("run", work)
    replace_document(tmp_path / FILE_NAME, damaged["run_id"], b"\xff")
    with RunningServer(tmp_path) as server:
        assert server.ask("run", work)["run_id"] != damaged["run_id"]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> DeviceInfo:
    with RunningServer(tmp_path_factory.mktemp("probe")) as server:
        return msgspec.convert(server.ask("devices")["devices"][0], DeviceInfo)


def test_the_last_valid_gauges_survive_200_later_runs(tmp_path: Path, device: DeviceInfo) -> None:
    """And runs with absurd figures."""
    metrics = MetricsState()
    usual = {"device": device, "theory": None}
    valid = document(measurement(40), run_id="valid", finished_at="2026-01-02T03:04:05.000Z", **usual)
    others = [
        document(
            measurement(99, "triad", "over_theory"),
            run_id=f"other-{number}",
            finished_at="2026-01-03T03:04:05.000Z",
            **usual,
        )
        for number in range(205)
    ]
    with Store(tmp_path) as store:
        for run in (valid, *others):
            store.accept(run, "triad", device.id, ["triad"])
            store.finish(run, metrics.series_of(run))
            metrics.run_ended(run, ["triad"])
        absurd = document(
            measurement(50),
            measurement(1e280, "copy"),
            measurement(50, "add", samples_seconds=[5e-324] * 9, bus_bytes=10**9),
            run_id="absurd",
            finished_at="2026-01-04T03:04:05.000Z",
            **usual,
        )
        store.accept(absurd, "triad", device.id, ["copy"])
        series = metrics.series_of(absurd)
        store.finish(absurd, [each._replace(valid=valid) for each in series for valid in (False, True)])
    with RunningServer(tmp_path) as server:
        server.ask("devices")

        def gauge(name: str, benchmark: str) -> float | None:
            labels = f'{{benchmark="{benchmark}",device="{device.id}",precision="float64"}}'
            return server.metric(f"gpubench_last_run_{name}{labels}")

        assert gauge("bandwidth_bytes_per_second", "triad") == 50e9
        assert gauge("bandwidth_bytes_per_second", "copy") is None
        assert gauge("bandwidth_bytes_per_second", "add") is None
        assert gauge("timestamp_seconds", "copy") is not None
        assert sum("run absurd is left out of the metrics" in line for line in server.log) == 2
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("UPDATE runs SET document = 'damaged' WHERE run_id = 'absurd'")
        database.execute("DELETE FROM last_runs WHERE run_id = 'absurd' AND benchmark = 'triad'")
        rows = [
            (device.id, "triad", "float64", valid, run) for valid, run in ((1, "valid"), (0, "other-204"))
        ]
        database.executemany("INSERT INTO last_runs VALUES (?, ?, ?, ?, ?)", rows)
    with RunningServer(tmp_path) as server:
        server.ask("devices")
        assert gauge("bandwidth_bytes_per_second", "triad") == 40e9
        later = gauge("timestamp_seconds", "triad")
        assert later == (gauge("success_timestamp_seconds", "triad") or 0) + 86_400
        assert any("left out: run absurd " in line for line in server.log)
        server.run_ok()


def test_a_read_only_database_is_said_at_once(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes read-only files")
    Store(tmp_path).close()
    (tmp_path / FILE_NAME).chmod(0o444)
    with RunningServer(tmp_path) as server:
        status, body = server.get("/readyz")
        assert (status, "readonly" in body) == (503, True)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A file system of its own, which only root can make; a container's root may not be allowed to."""
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_disk_that_takes_no_more_refuses_runs(tmp_path: Path) -> None:
    """A real one: what was stored is served, and a start on a read-only one says why it fails."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        data = disk / "data"
        with RunningServer(data) as server, server.connect() as client:
            before = server.run_ok()
            assert server.metric("gpubench_store_intact") == 1
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(1 << 12))
            assert within(PATIENCE_SECONDS, lambda: says_why(server, "No space left"))
            assert client.refused("run", {"benchmarks": [quick()]})["data"]["kind"] == "store_error"
            assert client.ask("result", {"run_id": before["run_id"]}) == before
            (disk / "filler").unlink()
            assert within(PATIENCE_SECONDS, lambda: works_again(server))
            server.run_ok()
        options = ("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", str(data))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "Read-only file system; pass another one with --data-dir" in failed_start(*options)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with Store(data) as store:
            assert store.document(before["run_id"]) is not None


def test_a_damaged_database_is_reported_and_served(tmp_path: Path) -> None:
    fill(tmp_path)
    damaged = cut_pages(tmp_path / FILE_NAME, "a")
    with RunningServer(tmp_path) as server, server.connect() as client:
        assert server.metric("gpubench_store_intact") == 0
        assert any("is damaged: " in line and "a copy as it was found is" in line for line in server.log)
        assert (tmp_path / f"{FILE_NAME}.damaged").read_bytes() == damaged
        assert client.ask("result", {"run_id": "b"})["outcome"] == "ok"
        assert client.refused("result", {"run_id": "a"})["data"]["kind"] == "invalid_document"
        server.run_ok()
