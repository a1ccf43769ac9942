"""The table of faults: how each is made, and what has to hold besides what ``Subject.check`` asks of all.

``make test`` makes each a few times, ``make soak`` hundreds of times. Moments are random: a fault may come
before a run, while its worker starts, in the middle of a benchmark or after the end.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.abuse.subject import Subject, wait_for
from tests.cli.command import GPUBENCH, LONG, environment
from tests.running import MIB, PATIENCE_SECONDS, Lines, address_bytes, limited, long, quick

MEDIUM = quick(footprint_bytes=MIB, time_limit_seconds=0.2)
"""Long enough to be hit in the middle."""

CLOCK = """
import datetime, os, time
_place = os.environ["SOAK_CLOCK"]
_real = {name: getattr(time, name) for name in ("time", "time_ns", "clock_gettime", "clock_gettime_ns")}

def _seconds():
    try:
        with open(_place) as offset:
            return int(offset.read())
    except (OSError, ValueError):
        return 0

def _of(clock, read, scale):
    return read(clock) + (_seconds() * scale if clock == time.CLOCK_REALTIME else 0)

time.time = lambda: _real["time"]() + _seconds()
time.time_ns = lambda: _real["time_ns"]() + _seconds() * 10**9
time.clock_gettime = lambda clock: _of(clock, _real["clock_gettime"], 1)
time.clock_gettime_ns = lambda clock: _of(clock, _real["clock_gettime_ns"], 10**9)

class _Stepped(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=_seconds())

datetime.datetime = _Stepped
"""
"""``sitecustomize.py`` of a server whose wall clock is off by what a file says."""

Inject = Callable[[Subject, Random], None]


def signal_worker(number: signal.Signals) -> Inject:
    """A run whose worker gets a signal."""

    def inject(subject: Subject, chance: Random) -> None:
        with subject.connect() as client:
            key = subject.request_run(client, MEDIUM)
            wait_for(subject.workers, "a worker")
            time.sleep(chance.uniform(0, 0.5))
            for worker in subject.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, number)
            outcome = subject.take(client.response(), key)
        assert outcome in ("ok", "device_lost"), outcome

    return inject


def stop_first_look(subject: Subject, chance: Random) -> None:
    """The process that looks for devices is stopped while the server starts."""
    subject.restart()
    wait_for(subject.workers, "the first look for devices")
    time.sleep(chance.uniform(0, 0.2))
    for worker in subject.workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGSTOP)
    devices = [device["id"] for device in subject.ask("devices")["devices"]]
    assert devices == ["opencl:pocl:0"], devices


def ask_for_too_much(subject: Subject, chance: Random) -> None:
    """A footprint beyond the device's memory."""
    outcome = subject.run(quick(footprint_bytes=chance.randrange(1 << 38, 1 << 46)))
    assert outcome == "out_of_device_memory", outcome


def refuse_memory(subject: Subject, chance: Random) -> None:
    """The system gives a worker no more memory, for a run that needs it; a crash over that is tried again."""
    subject.run()
    (worker,) = subject.workers()
    with limited(worker, resource.RLIMIT_AS, address_bytes(worker) + chance.randrange(16 * MIB)):
        outcome = subject.run(quick(footprint_bytes=512 * MIB))
    assert outcome != "ok" or worker not in subject.workers(), "a run of 512 MiB without any memory"


def kill_client(subject: Subject, chance: Random) -> None:
    """``gpubench run`` is killed: while it starts, connects, waits or receives."""
    host, port = subject.server.tcp
    command = [*GPUBENCH, "run", "triad", *LONG, "--server", f"tcp://{host}:{port}"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    ) as client:
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(chance.uniform(0.2, 2.0))
        client.kill()
    wait_for(lambda: subject.server.running() is None, "the end of the run")
    wait_for(lambda: subject.ask("status")["open_connections"] == 1, "the end of the connection")


def leave(subject: Subject, chance: Random) -> None:
    """A client that is gone at any moment: by a reset, or by the end of its connection."""
    with subject.connect() as client:
        subject.request_run(client, long())
        time.sleep(chance.uniform(0, 0.5))
        if chance.random() < 0.5:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: subject.server.running() is None, "the end of the run")


def kill_server(subject: Subject, chance: Random) -> None:
    """SIGKILL while clients send runs and receive results; then a new server on the same data."""
    clients = [_Client(subject) for _ in range(2)]
    wanted = chance.randrange(5)
    wait_for(lambda: sum(len(client.answers) for client in clients) >= wanted, f"{wanted} results")
    time.sleep(chance.uniform(0, 0.5))
    subject.server.process.kill()
    for client in clients:
        client.join()
    subject.restart()
    for client in clients:
        subject.check_accepted(client.accepted)
        for key, answer in client.answers.items():
            subject.take(answer, key)
    subject.check_kept(newest=30)


def use_up_descriptors(subject: Subject, chance: Random) -> None:
    """EMFILE: the server may open no more files, or only a few, while clients connect and ask for runs."""
    process = subject.server.process.pid
    used = len(list(Path(f"/proc/{process}/fd").iterdir()))
    _ask_under(limited(process, resource.RLIMIT_NOFILE, used + chance.randrange(12)), subject, chance)


def refuse_threads(subject: Subject, chance: Random) -> None:
    """The server has no room for the stack of a thread, while clients connect and ask for runs."""
    process = subject.server.process.pid
    _ask_under(limited(process, resource.RLIMIT_AS, address_bytes(process) + 6 * MIB), subject, chance)


def step_clock_back(subject: Subject, chance: Random) -> None:
    """The wall clock goes back during a run, by a second or by years."""
    offset = subject.folder / "offset"
    before = int(offset.read_text() or 0) if offset.exists() else 0
    with subject.connect() as client:
        key = subject.request_run(client, MEDIUM)
        time.sleep(chance.uniform(0, 0.4))
        offset.write_text(str(before - chance.choice([1, 3600, 86_400 * 30])))
        outcome = subject.take(client.response(), key)
    assert outcome == "ok", outcome
    newest = subject.ask("results", {"limit": 1})["runs"][0]
    document = subject.ask("result", {"run_id": newest["run_id"]})
    assert document["key"] == key, "the newest run is not the first of `results`"
    with subject.connect() as client:  # a retry
        client.request("run", {"benchmarks": [MEDIUM], "key": key, "labels": {"soak": key}})
        assert client.response()["result"] == document


def _with_clock(folder: Path) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(CLOCK)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "SOAK_CLOCK": str(folder / "offset")}


def _as_usual(folder: Path) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Fault:
    """One row. ``alone`` is set if its server needs an ``environment``, or is restarted.

    ``environment`` makes what its server needs in a folder, and returns additional variables for it.
    """

    name: str
    inject: Inject
    holds: str
    alone: bool = False
    environment: Callable[[Path], dict[str, str]] = _as_usual

    def make(self, subject: Subject, chance: Random) -> None:
        """Once, and check what has to hold."""
        began_at = time.monotonic()
        subject.counts.faults += 1
        self.inject(subject, chance)
        subject.check(began_at)


FAULTS = (
    Fault(
        "worker killed (SIGKILL)",
        signal_worker(signal.SIGKILL),
        "the benchmark has failed with the signal as its reason; a new worker goes on",
    ),
    Fault(
        "worker crashes (SIGSEGV)",
        signal_worker(signal.SIGSEGV),
        "the benchmark is tried again in a new worker with an empty cache of compiled kernels",
    ),
    Fault(
        "worker frozen (SIGSTOP)",
        signal_worker(signal.SIGSTOP),
        "found within 5 s by its silence, and ended; then as for a worker that is killed",
    ),
    Fault(
        "first look for devices hangs (SIGSTOP)",
        stop_first_look,
        "found within 5 s; then each driver is asked alone, and runs wait for that",
        alone=True,
    ),
    Fault(
        "device memory: more than there is",
        ask_for_too_much,
        "refused as `out_of_device_memory` before anything is measured",
    ),
    Fault(
        "device memory: the system gives none",
        refuse_memory,
        "the run has no figure, and an error; if its worker crashes over it, it is tried again in a new one",
    ),
    Fault(
        "client killed (SIGKILL)",
        kill_client,
        "its run is cancelled, and the device is free",
    ),
    Fault(
        "client gone (connection reset or closed)",
        leave,
        "its run is cancelled, and the device is free",
    ),
    Fault(
        "server killed (SIGKILL) and started again",
        kill_server,
        "every result that a client got is there, word for word; every run that was accepted is known; its "
        "worker is gone",
        alone=True,
    ),
    Fault(
        "server: no more files (EMFILE)",
        use_up_descriptors,
        "connections wait or are closed, runs are refused with the name of the limit",
    ),
    Fault(
        "server: no more threads",
        refuse_threads,
        "connections are refused, and those that are served go on",
    ),
    Fault(
        "clock stepped back",
        step_clock_back,
        "runs, deadlines and the order of results are unaffected: only time stamps show it",
        alone=True,
        environment=_with_clock,
    ),
)


def _ask_under(limit: AbstractContextManager[None], subject: Subject, chance: Random) -> None:
    """Several clients connect and ask while there is a limit; each must get an answer or an end.

    Half of the times their runs need a new worker.
    """
    if chance.random() < 0.5:
        for worker in subject.workers():
            os.kill(worker, signal.SIGKILL)
    with contextlib.ExitStack() as stack:
        asked: list[tuple[Lines, str | None]] = []
        with limit:
            browser = stack.enter_context(socket.create_connection(subject.server.http, PATIENCE_SECONDS))
            browser.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for number in range(8):
                client = stack.enter_context(subject.connect())
                with contextlib.suppress(ConnectionError):
                    if number % 4:
                        client.request("ping")
                    asked.append((client, None if number % 4 else subject.request_run(client)))
            time.sleep(chance.uniform(0.05, 0.5))
        with contextlib.suppress(ConnectionError):
            while browser.recv(4096):
                pass
        for client, key in asked:
            with contextlib.suppress(EOFError, ConnectionError):
                answer = client.response()
                if key is not None and answer["id"] is not None:
                    subject.take(answer, key)


class _Client:
    """Sends one run after another, on a thread of its own, for as long as there is a server."""

    def __init__(self, subject: Subject) -> None:
        self.accepted: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self._subject = subject
        self._client = subject.server.connect()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "a client waits for a server that is gone"
        self._client.close()
        self._subject.count(self._client)

    def _run(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._read(self._subject.request_run(self._client))

    def _read(self, key: str) -> None:
        while True:
            message = self._client.read()
            if message.get("method") == "accepted":
                self.accepted.append(message["params"]["run_id"])
            if "id" in message:
                self.answers[key] = message
                return
