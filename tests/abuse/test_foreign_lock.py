"""Another program holds the database's lock: who does not need the database does not wait for it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from gpubench.results.database import BUSY_SECONDS
from gpubench.results.store import FILE_NAME
from tests.abuse.test_faults import failed_start
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Another process has begun a transaction, and does not end it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory / FILE_NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.stdin.close()
        assert holder.wait(PATIENCE_SECONDS) == 0


@pytest.mark.timing
def test_a_foreign_lock_delays_only_who_stores(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, contextlib.ExitStack() as connections:
        client, running, refused, *late = (connections.enter_context(server.connect()) for _ in range(5))
        before = server.run_ok()
        asked = [quick("copy", time_limit_seconds=2, target_ratio=0.0001), long("triad")]
        running.request("run", {"benchmarks": asked})
        running.notified("progress", lambda progress: progress["phase"] == "measuring")
        for each, deadline_seconds in zip(late, (3, 3.5), strict=True):
            each.begin(quick(), deadline_seconds=deadline_seconds)
        with locked(tmp_path):
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
            # The run goes on: its next benchmark begins at once.
            copied, progress = time.monotonic(), {"benchmark": "copy", "phase": "measuring"}
            while (progress["benchmark"], progress["phase"]) != ("triad", "measuring"):
                if progress["benchmark"] == "copy":
                    copied = time.monotonic()
                progress = running.notified("progress", lambda _: True)
            assert time.monotonic() < copied + BUSY_SECONDS
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
    with locked(tmp_path):
        assert "is locked by another program; end that program" in failed_start(*options)
    with RunningServer(tmp_path) as server:
        (state,) = server.ask("results")["runs"]
        assert (state["state"], state["outcome"]) == ("finished", "failed")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
