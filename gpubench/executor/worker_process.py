"""The owner's handle on a worker process: start it, exchange messages with it, end it gently."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator

import msgspec

from gpubench import systems
from gpubench.errors import DeviceLost, LineTooLong
from gpubench.executor.messages import Command, Event
from gpubench.framing import LineBuffer
from gpubench.signals import IGNORED_BY_WORKER

GRACE_SECONDS = 3.0
"""From closing the connection to SIGKILL: killing a process that uses a GPU has frozen GPUs."""

_MAX_EVENT_BYTES = 64 * 1024 * 1024


class WorkerProcess:
    """A worker process and the socket pair that connects it to its owner.

    ``send`` may be called from any thread; ``receive`` from one.
    """

    def __init__(self) -> None:
        """Raises ``MissingDependency`` on a system that cannot measure."""
        systems.require_linux()
        self._lines = LineBuffer(_MAX_EVENT_BYTES)
        self._send_lock = threading.Lock()
        self._decoder = msgspec.json.Decoder(Event)
        ours, theirs = socket.socketpair()
        try:
            self._socket = ours
            with theirs, _blocked(IGNORED_BY_WORKER):
                self._process = subprocess.Popen(  # noqa: S603
                    # -P: files in the current folder must not shadow our modules.
                    [sys.executable, "-P", "-m", "gpubench.executor", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    # A session of its own: ^C at a terminal reaches only the owner, which cancels in order.
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            theirs.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, command: Command) -> None:
        """Raises ``DeviceLost`` if the process is gone."""
        line = msgspec.json.encode(command) + b"\n"
        with self._send_lock:
            try:
                self._socket.sendall(line)
            except OSError:
                raise self._lost() from None

    def receive(self, timeout_seconds: float) -> Event | None:
        """The next event, or None after ``timeout_seconds``.

        Raises ``DeviceLost`` if the process is gone or sends something that is not an event.
        """
        deadline = time.monotonic() + timeout_seconds
        try:
            while (line := self._lines.next_line()) is None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self._socket.recv(1 << 20)
                if not chunk:
                    raise self._lost()
                self._lines.feed(chunk)
            event: Event = self._decoder.decode(line)
        except TimeoutError:
            return None
        except OSError:
            raise self._lost() from None
        except (LineTooLong, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DeviceLost(f"the worker process sent an invalid message: {error}") from None
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
        return DeviceLost(f"the worker process {how}; the next run starts a new one")

    def release(self) -> None:
        """Close the connection without waiting; the worker ends on its own."""
        self._socket.close()

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Close the connection, which ends the worker; if it does not, SIGKILL."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
            return
        self.signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and to the compilers that it started, if it is alive."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)  # the leader of its session, and so of its group


@contextlib.contextmanager
def _blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Processes started inside, by this thread, begin with these signals blocked, until they ignore them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
