"""The owner's side of a worker process: start it, talk to it, end it gently."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gpubench.errors import DeviceLost
from gpubench.executor.messages import Command, Event, Probe, Probed
from gpubench.results.machine import RuntimeStatus

GRACE_SECONDS = 3.0
"""From the closed connection to SIGTERM's SIGKILL: killing a GPU's client hard has frozen GPUs."""

_MAX_EVENT_BYTES = 64 * 1024 * 1024


class WorkerProcess:
    """A worker process and the socket pair to it.

    ``send`` may be called from any thread; ``receive`` from one.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: what lies in the folder from which we were started is no module of ours.
                [sys.executable, "-P", "-m", "gpubench.executor", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Of its own group: ^C at a terminal is for the owner, who cancels in order.
                start_new_session=True,
            )
        self._socket = ours
        self._received = bytearray()
        self._send_lock = threading.Lock()
        self._decoder = msgspec.json.Decoder(Event)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, command: Command) -> None:
        """Raises ``DeviceLost`` where the process is gone."""
        line = msgspec.json.encode(command) + b"\n"
        with self._send_lock:
            try:
                self._socket.sendall(line)
            except OSError:
                raise self._lost() from None

    def receive(self, timeout_seconds: float) -> Event | None:
        """The next event, or None after ``timeout_seconds``.

        Raises ``DeviceLost`` where the process is gone or talks nonsense.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                return self._decode(line)
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self._socket.recv(1 << 20)
            except TimeoutError:
                return None
            except OSError:
                raise self._lost() from None
            if not chunk or len(self._received) > _MAX_EVENT_BYTES:
                raise self._lost()
            self._received += chunk

    def _decode(self, line: bytes) -> Event:
        try:
            event: Event = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise DeviceLost(f"the worker process sent what cannot be read: {error}") from None
        return event

    def _lost(self) -> DeviceLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        code = self._process.returncode
        if code is None:
            how = "closed its connection"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        return DeviceLost(f"the worker process {how}; the next run gets a new one")

    def release(self) -> None:
        """Close the connection and do not wait: the worker ends itself on it."""
        self._socket.close()

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Close the connection, on which the worker ends itself; else SIGTERM, else SIGKILL."""
        self._socket.close()
        for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
            if signal_number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds / 2)
                return


@contextlib.contextmanager
def workers_for(runtimes: Sequence[str]) -> Iterator[dict[str, WorkerProcess]]:
    """One for each; those that are still in it end with the context."""
    workers = {name: WorkerProcess() for name in runtimes}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.end()


def probe(runtimes: Sequence[str], timeout_seconds: float = 60.0) -> Probed:
    """The devices of ``runtimes``, each looked for in a process of its own."""
    with workers_for(runtimes) as workers:
        return devices_of(workers, timeout_seconds)


def devices_of(workers: Mapping[str, WorkerProcess], timeout_seconds: float = 60.0) -> Probed:
    """The devices that each worker finds of the runtime it stands under.

    A driver that crashes or hangs while it is loaded costs its own runtime and nothing else: that
    runtime is then listed as unavailable with the reason.
    """
    for name, worker in workers.items():
        with contextlib.suppress(DeviceLost):  # said when its answer is waited for
            worker.send(Probe(runtimes=[name]))
    deadline = time.monotonic() + timeout_seconds
    answers = [_answer(name, worker, deadline, timeout_seconds) for name, worker in workers.items()]
    return Probed(
        devices=[device for answer in answers for device in answer.devices],
        runtimes=[status for answer in answers for status in answer.runtimes],
        failed=[name for answer in answers for name in answer.failed],
    )


def _answer(name: str, worker: WorkerProcess, deadline: float, timeout_seconds: float) -> Probed:
    reason = f"looking for devices took longer than {timeout_seconds:g} s"
    try:
        event = worker.receive(max(0.0, deadline - time.monotonic()))
        if isinstance(event, Probed):
            return event
    except DeviceLost as error:
        reason = error.message
    status = RuntimeStatus(name=name, available=False, reason=reason)  # type: ignore[arg-type]
    return Probed(devices=[], runtimes=[status], failed=[name])
