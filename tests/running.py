"""A real server in a process of its own, and raw lines to it."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

MIB = 1 << 20
PATIENCE_SECONDS = 60.0
"""For what must happen sooner or later, on a slow machine too."""

PINNED = {
    "vector_bytes": 32,
    "unroll": 8,
    "group_size": 1,
    "order": "tile",
    "streaming_stores": True,
    "groups": 16,
}
"""An access shape, so that nothing is tuned."""


def quick(name: str = "triad", **parameters: Any) -> dict[str, Any]:
    """A benchmark of about half a second."""
    usual = {"footprint_bytes": 16 * MIB, "time_limit_seconds": 0.2}
    return {"name": name, "parameters": {**usual, **PINNED, **parameters}}


def long(name: str = "triad") -> dict[str, Any]:
    """A benchmark that goes on until it is stopped."""
    return quick(name, footprint_bytes=64 * MIB, time_limit_seconds=60, target_ratio=0.0001)


def default_signals() -> None:
    """In a child, before the program: what a test's own start (nohup, a script's &) may have ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def leads_session(terminal: int | None) -> Callable[[], None]:
    """For a child: a session of its own, with this controlling terminal or without one."""

    def prepare() -> None:
        default_signals()
        os.setsid()
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    return prepare


def dispositions(pid: int) -> dict[str, set[int]]:
    """The signals that a process ignores (``SigIgn``), catches (``SigCgt``) and blocks (``SigBlk``)."""
    fields = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        name: {bit + 1 for bit in range(31) if int(fields[name], 16) >> bit & 1}
        for name in ("SigIgn", "SigCgt", "SigBlk")
    }


def state(pid: int) -> str:
    """The state of a process as one letter: ``T`` if it is stopped."""
    return _stat(pid)[0]


def children_of(parent: int, ended: bool = False) -> list[int]:
    """The ids of a process's child processes that are alive, or that have ended and nobody has waited for."""
    return [pid for pid, fields in _processes(ended).items() if int(fields[1]) == parent]


def of_session(leader: int) -> list[int]:
    """The ids of the processes of a session that are alive."""
    return [pid for pid, fields in _processes().items() if int(fields[3]) == leader]


def _processes(ended: bool = False) -> dict[int, list[str]]:
    """The ``_stat`` of each process that is alive, or of each that has ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found[int(folder.name)] = _stat(int(folder.name))
    return {pid: fields for pid, fields in found.items() if (fields[0] in "ZX") is ended}


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) that follow the name of the program."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def address_bytes(pid: int) -> int:
    """What a process has mapped, to which RLIMIT_AS applies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def limited(pid: int, kind: int, soft: int) -> Iterator[None]:
    """A lower limit for a running process inside; it may end meanwhile."""
    usual = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, usual[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, kind, usual)


class Lines:
    """A client that sends what it is told, right or wrong, and reads line by line."""

    def __init__(self, address: tuple[str, int] | Path, tls: ssl.SSLContext | None = None) -> None:
        if isinstance(address, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE_SECONDS)
            self.socket.connect(str(address))
        else:
            self.socket = socket.create_connection(address, PATIENCE_SECONDS)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.reader = self.socket.makefile("rb")
        self.notifications: list[dict[str, Any]] = []
        self.requests = self.sent_bytes = self.received_bytes = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def vanish(self) -> None:
        """Leave as a killed program does: without a word."""
        self.close()

    def send(self, line: bytes) -> None:
        self.socket.sendall(line)
        self.requests += line.count(b"\n")
        self.sent_bytes += len(line)

    def request(self, method: str, params: Any = None, request_id: Any = 1) -> None:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, Any]:
        """The next line; ``EOFError`` where there is none."""
        line = self.reader.readline()
        self.received_bytes += len(line)
        if not line.endswith(b"\n"):
            raise EOFError(line)
        message: dict[str, Any] = json.loads(line)
        return message

    def response(self) -> dict[str, Any]:
        """The next response; notifications before it are kept."""
        while "id" not in (message := self.read()):
            self.notifications.append(message)
        return message

    def ask(self, method: str, params: Any = None) -> Any:
        """The result of a request that must succeed."""
        self.request(method, params)
        answer = self.response()
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method: str, params: Any = None) -> dict[str, Any]:
        """The error of a request that must fail."""
        self.request(method, params)
        answer = self.response()
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def notified(self, method: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read on to the first notification that ``until`` accepts; returns its parameters."""
        while True:
            message = self.read()
            assert "id" not in message, message
            self.notifications.append(message)
            if message["method"] == method and until(message["params"]):
                found: dict[str, Any] = message["params"]
                return found

    def begin(self, benchmark: dict[str, Any], **params: Any) -> str:
        """Ask for a run; returns its id once it is accepted."""
        self.request("run", {"benchmarks": [benchmark], **params})
        return str(self.notified("accepted", lambda _: True)["run_id"])

    def begin_measuring(self, benchmark: dict[str, Any], **params: Any) -> str:
        """Ask for a run; returns its id once it takes samples."""
        run_id = self.begin(benchmark, **params)
        self.notified("progress", lambda progress: progress["phase"] == "measuring")
        return run_id

    def ended(self) -> bool:
        """Whether the server closed the connection, once all it said is read."""
        with contextlib.suppress(ConnectionResetError):
            while self.reader.readline():
                pass
        return True


NO_FILES = {"GPUBENCH_SERVER_CONFIG": os.devnull, "GPUBENCH_GATEWAY_CONFIG": os.devnull}


class Running:
    """``gpubench-server`` with these words, once it listens; its log is kept."""

    def __init__(self, *words: str, environment: dict[str, str] | None, prepare: Callable[[], None]) -> None:
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpubench_server", *words],
            stderr=subprocess.PIPE,
            text=True,
            # Not the tester's own configuration.
            env={**os.environ, **NO_FILES, **(environment or {})},
            preexec_fn=prepare,
        )
        listening = threading.Event()
        self._logger = threading.Thread(target=self._keep_log, args=(listening,), daemon=True)
        self._logger.start()
        if not listening.wait(PATIENCE_SECONDS) or not any("listening on" in line for line in self.log):
            self.kill()
            raise RuntimeError(f"gpubench-server did not start: {self.log}")
        line = next(line for line in self.log if "listening on" in line).partition(" for ")[0]
        self.urls = [word.strip(',"}') for word in line.split() if "://" in word]  # also in a line of JSON
        """What it listens on; of a server, the HTTP port last."""
        self.tcp = next((address_of(url) for url in self.urls if url.startswith("tcp://")), ("", 0))
        self.tls = next((address_of(url) for url in self.urls if url.startswith("tls://")), ("", 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._close_log()

    def said(self, text: str) -> bool:
        return any(text in line for line in self.log)

    def children(self) -> list[int]:
        """The ids of the processes that it started."""
        return children_of(self.process.pid)

    def stop(self) -> int:
        """SIGTERM, and the exit code once it drained."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._close_log()

    def kill(self) -> None:
        """As the power fails: SIGKILL."""
        self.process.kill()
        self.wait()

    def _keep_log(self, listening: threading.Event) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip())
            if "listening on" in line:
                listening.set()
        listening.set()

    def _close_log(self) -> None:
        self._logger.join(PATIENCE_SECONDS)
        # A process that is left over and can still write keeps the reader, and closing would wait for that.
        if self.process.stderr is not None and not self._logger.is_alive():
            self.process.stderr.close()


class RunningServer(Running):
    """The server on free ports, or where a ``--listen`` says."""

    def __init__(
        self,
        data_directory: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        prepare: Callable[[], None] = default_signals,
        **limits: float,
    ) -> None:
        self.data_directory = data_directory
        super().__init__(
            *(() if "--listen" in options else ("--listen", "tcp://127.0.0.1:0")),
            *("--http", "127.0.0.1:0", "--data-dir", str(data_directory), "--runtime", "opencl"),
            *settings_of(limits),
            *options,
            environment=environment,
            prepare=prepare,
        )
        self.http = address_of(self.urls[-1])

    def connect(self) -> Lines:
        return Lines(self.tcp)

    def ask(self, method: str, params: Any = None) -> Any:
        with self.connect() as client:
            return client.ask(method, params)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.http, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metric(self, line: str) -> float | None:
        """The value of one exposed series, written as in the exposition."""
        for each in self.get("/metrics")[1].splitlines():
            if each.startswith(f"{line} "):
                return float(each.rpartition(" ")[2])
        return None

    def running(self) -> str | None:
        """The id of the run that the device works on."""
        queues = self.ask("status")["queues"]
        if not queues:  # the first look for devices is not done
            return None
        (queue,) = queues
        found: str | None = queue["running"]
        return found

    def run_ok(self, benchmark: dict[str, Any] | None = None) -> dict[str, Any]:
        """A run that must succeed: the server serves as before."""
        document: dict[str, Any] = self.ask("run", {"benchmarks": [benchmark or quick()]})
        assert document["outcome"] == "ok", document
        return document


def settings_of(limits: Mapping[str, float]) -> list[str]:
    """The words that set these limits."""
    return [f"--limit={name}={value}" for name, value in limits.items()]


def loaded(program: str, *modules: str) -> list[str]:
    """Those of these modules that are loaded after a program, in an interpreter of its own."""
    program += f"\nimport sys\nprint(*(name for name in {modules} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return ended.stdout.split()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true in time; each look at it is a request of its own."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
    return True


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
