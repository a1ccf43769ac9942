"""A thread that serves every client does not end in silence: its end is the server's."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from gpubench_server import app
from gpubench_server.device_queue import DeviceQueue
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.line_servers import LineServer
from gpubench_server.live_run import LiveRun
from gpubench_server.logs import Log
from gpubench_server.retention_watch import RetentionWatch
from gpubench_server.storage_watch import StorageWatch

from tests.running import PATIENCE_SECONDS, RunningServer, quick, within
from tests.server.embedded import EmbeddedServer

SOURCES = Path(app.__file__).parent

FAILING: dict[str, tuple[type, str]] = {
    "deadlines": (LiveRun, "ends_at"),
    "device queue": (DeviceQueue, "_take"),
    "probe": (DeviceRegistry, "_probe_if_older_than"),
    "storage watch": (StorageWatch, "look"),
    "retention": (RetentionWatch, "look"),
    "tcp://": (LineServer, "service_actions"),
    "HTTP port": (uvicorn.Server, "on_tick"),
}
"""A function that each thread calls, by the thread's name or its beginning."""


@pytest.mark.parametrize("name", FAILING)
def test_the_end_of_a_thread_ends_the_server(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gpubench_server.storage_watch._PERIOD_SECONDS", 0.1)
    monkeypatch.setattr("gpubench_server.retention_watch._PERIOD_SECONDS", 0.1)
    cls, function = FAILING[name]
    usual: Callable[..., Any] = getattr(cls, function)
    armed = threading.Event()

    def fail_once_armed(*args: Any) -> Any:
        if armed.is_set() and threading.current_thread().name.startswith(name):
            raise MemoryError("a fault made by the test")
        return usual(*args)

    with EmbeddedServer(tmp_path) as server:
        monkeypatch.setattr(cls, function, fail_once_armed)
        armed.set()
        with server.connect() as client:
            client.request("run", {"benchmarks": [quick()]})  # so that every thread has work
            if name == "probe":
                server.server._registry.doubt()
            assert server.ended()
            assert client.ended()
    assert server.failure is not None
    said = rf"the thread '{name}[^']*', which serves every client, failed: MemoryError"
    assert re.search(said, str(server.failure))
    assert [r for r in caplog.records if r.levelname == "CRITICAL" and r.exc_info and name in r.message]


def test_the_process_ends_with_an_exit_code_and_a_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from gpubench_server.device_queue import DeviceQueue\n"
        "def fail(self): raise RuntimeError('a fault made by the test')\n"
        "DeviceQueue._take = fail\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with RunningServer(tmp_path / "data", environment={"PYTHONPATH": path}) as server:
        with server.connect() as client:
            client.request("run", {"benchmarks": [quick()]})
            assert server.wait() == 1
            assert client.ended()
        text = "\n".join(server.log)
    assert "CRITICAL gpubench_server.vital: the thread 'device queue' failed" in text
    assert re.search(r"^gpubench-server: the thread 'device queue', .*a fault made by the test$", text, re.M)


def test_no_other_thread_is_started_without_being_watched() -> None:
    """Those of connections serve one client each, and the log keeps its own errors."""
    started = {each.name for each in SOURCES.rglob("*.py") if "threading.Thread(" in each.read_text()}
    assert started == {"vital.py", "transports.py", "logs.py"}


def test_a_record_that_cannot_be_written_does_not_end_the_log(tmp_path: Path) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def write(self, text: str) -> None:
            if "first" in text:
                raise ValueError("this stream takes no such text")
            self.lines.append(text)

        def flush(self) -> None:
            pass

    stream = Refusing()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    log = Log(stream, "INFO")  # type: ignore[arg-type]
    try:
        logging.getLogger("test").warning("the first")
        logging.getLogger("test").warning("the second")
        assert log.end(PATIENCE_SECONDS)
    finally:
        root.handlers[:], root.level = before[0], before[1]
    assert within(PATIENCE_SECONDS, lambda: "second" in "".join(stream.lines))
