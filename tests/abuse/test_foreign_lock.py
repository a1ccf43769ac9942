"""Another program holds the database's lock: requests that do not need the database do not wait."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from gpubench.results.database import BUSY_SECONDS
from gpubench.results.store import FILE_NAME
from tests.abuse.test_faults import failed_start
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within

PROGRAM = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
print("ready", flush=True)
for line in sys.stdin:
    database.execute(line)
    print("done", flush=True)
"""


class OtherProgram:
    """Another process with the database open, whose statements are executed at once."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory / FILE_NAME)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready\n"

    def __enter__(self) -> OtherProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE_SECONDS)

    @contextlib.contextmanager
    def locks(self) -> Iterator[None]:
        """It has begun a transaction, and does not end it."""
        self._execute("BEGIN EXCLUSIVE")
        yield
        self._execute("ROLLBACK")

    def _execute(self, statement: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{statement}\n")
        self._process.stdin.flush()
        assert self._read() == "done\n"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.mark.timing
def test_a_foreign_lock_delays_only_requests_that_store(tmp_path: Path) -> None:
    with (
        RunningServer(tmp_path) as server,
        OtherProgram(tmp_path) as other,
        contextlib.ExitStack() as connections,
    ):
        client, running, refused, *late = (connections.enter_context(server.connect()) for _ in range(5))
        before = server.run_ok()
        asked = [quick("copy", time_limit_seconds=2, target_ratio=0.0001), long("triad")]
        running.request("run", {"benchmarks": asked})
        running.notified("progress", lambda progress: progress["phase"] == "measuring")
        for each, deadline_seconds in zip(late, (3, 3.5), strict=True):
            each.begin(quick(), deadline_seconds=deadline_seconds)
        with other.locks():
            refused.request("run", {"benchmarks": [quick()]})
            begun, slowest = time.monotonic(), 0.0
            while time.monotonic() < begun + 1.5:
                asked_at = time.monotonic()
                for method in ("ping", "status", "devices", "results"):
                    client.ask(method)
                assert client.ask("result", {"run_id": before["run_id"]}) == before
                for path in ("/healthz", "/metrics", f"/runs/{before['run_id']}"):
                    assert server.get(path)[0] == 200
                slowest = max(slowest, time.monotonic() - asked_at)
            assert slowest < BUSY_SECONDS / 2
            # The run goes on: its next benchmark begins after the 2 s of the first.
            running.notified("progress", lambda p: (p["benchmark"], p["phase"]) == ("triad", "measuring"))
            assert time.monotonic() < begun + 1 + BUSY_SECONDS
            error = refused.response()["error"]
            assert (error["data"]["kind"], error["data"]["retryable"]) == ("store_error", True)
            assert "locked by another program" in error["message"]
            assert within(PATIENCE_SECONDS, lambda: "locked by another program" in server.get("/readyz")[1])
            # Deadlines pass as ever, also after one whose run could not be stored; and no document is lost.
            documents = [each.response()["error"]["data"]["document"] for each in late]
            assert [each["outcome"] for each in documents] == ["timeout", "timeout"]
            took = [seconds(each["finished_at"]) - seconds(each["created_at"]) for each in documents]
            assert max(took) < 3.5 + BUSY_SECONDS / 2
        assert within(PATIENCE_SECONDS, lambda: server.get("/readyz") == (200, "ready\n"))
        for each in documents:
            assert client.ask("result", {"run_id": each["run_id"]}) == each


def test_a_start_with_a_locked_database_says_so(tmp_path: Path) -> None:
    """Runs that were interrupted cannot be ended; the database is left as it is."""
    with RunningServer(tmp_path) as server, server.connect() as client:
        client.begin_measuring(long())
        server.kill()
    options = ("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path))
    with OtherProgram(tmp_path) as other, other.locks():
        assert "is locked by another program; end that program" in failed_start(*options)
    with RunningServer(tmp_path) as server:
        (state,) = server.ask("results")["runs"]
        assert (state["state"], state["outcome"]) == ("finished", "failed")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
