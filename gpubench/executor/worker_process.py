"""The owner's handle on a worker process: start it, exchange messages with it, end it gently."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator

import msgspec

from gpubench import systems, typed
from gpubench.devices.cache_folder import open_folder
from gpubench.errors import DeviceLost, LineTooLong
from gpubench.executor.loss import CRASHES, Counters, reason_of
from gpubench.executor.messages import Alive, Command, Event, Run
from gpubench.executor.pulse import Pulse
from gpubench.executor.running_time import MAX_STEP_SECONDS
from gpubench.framing import LineBuffer
from gpubench.signals import IGNORED_BY_WORKER

log = logging.getLogger(__name__)

GRACE_SECONDS = 3.0
"""From closing the connection to SIGKILL: killing a process that uses a GPU has frozen GPUs."""

_MAX_EVENT_BYTES = 64 * 1024 * 1024
_KEPT_OUTPUT_BYTES = 4096

_LOOK_SECONDS = MAX_STEP_SECONDS / 2
"""How long one wait for input lasts at most, so that a pause of this process is not taken for a hang."""


class WorkerProcess:
    """A worker process and the socket pair that connects it to its owner.

    It has a folder for compiled kernels that was proved to be usable; with ``empty_cache`` a new one. What it
    prints to stderr is logged. ``send`` may be called from any thread; ``receive`` from one.

    Raises ``LimitReached`` if no folder can be used, ``OSError`` if the process cannot be made, and
    ``MissingDependency`` on a system that cannot measure.
    """

    def __init__(self, *, empty_cache: bool = False) -> None:
        systems.require_linux()
        self.is_used = False
        """Whether it has been given a run."""
        self._lines = LineBuffer(_MAX_EVENT_BYTES)
        self._send_lock = threading.Lock()
        self._decoder = typed.decoder(Event | Alive)
        self._pulse = Pulse()
        self._before = Counters.now()
        self.cache = open_folder(empty=empty_cache)
        self._remove_cache = weakref.finalize(self, self.cache.remove)
        reading = writing = -1
        ours, theirs = socket.socketpair()
        try:
            self._socket = ours
            reading, writing = os.pipe()
            self._output = _Output(reading)
            with theirs, _blocked(IGNORED_BY_WORKER):
                self._process = subprocess.Popen(  # noqa: S603
                    # -P: files in the current folder must not shadow our modules.
                    [sys.executable, "-P", "-m", "gpubench.executor", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=writing,
                    env={**os.environ, **self.cache.environment},
                    # A session of its own: ^C at a terminal reaches only the owner, which cancels in order.
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            theirs.close()
            if reading >= 0:
                os.close(reading)
            raise
        finally:
            if writing >= 0:
                os.close(writing)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def crashed(self) -> bool:
        """Whether it ended itself by a signal, as over a damaged cache of compiled kernels."""
        return -(self._process.poll() or 0) in CRASHES

    def send(self, command: Command) -> None:
        """Raises ``DeviceLost`` if the process is gone."""
        line = msgspec.json.encode(command) + b"\n"
        self.is_used = self.is_used or isinstance(command, Run)
        self._pulse.beat()
        with self._send_lock:
            try:
                self._socket.sendall(line)
            except OSError:
                raise self._lost() from None

    def receive(self, timeout_seconds: float) -> Event | None:
        """The next event, or None after ``timeout_seconds``.

        Raises ``DeviceLost`` if the process is gone, stopped or stuck, or sends what is not an event.
        """
        deadline = time.monotonic() + timeout_seconds
        try:
            while (event := self._next_event()) is None:
                left_seconds = deadline - time.monotonic()
                if self._wait_for_input(min(left_seconds, _LOOK_SECONDS)):
                    chunk = self._socket.recv(1 << 20)
                    if not chunk:
                        raise self._lost()
                    self._lines.feed(chunk)
                    self._pulse.beat()
                elif hopeless := self._pulse.lost(self._process.pid):
                    raise hopeless
                elif left_seconds <= 0:
                    return None
        except OSError:
            raise self._lost() from None
        except (LineTooLong, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DeviceLost(f"the worker process sent an invalid message: {error}") from None
        return event

    def _next_event(self) -> Event | None:
        """Of those that have arrived; signs of life are none."""
        while (line := self._lines.next_line()) is not None:
            event: Event | Alive = self._decoder.decode(line)
            if not isinstance(event, Alive):
                return event
        return None

    def _wait_for_input(self, seconds: float) -> bool:
        """Whether the socket can be read; takes what was printed, lest the process wait for that."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not self._output.ended:
            poll.register(self._output.descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if not self._output.ended and self._output.descriptor in ready:
            self._output.take()
        return self._socket.fileno() in ready

    def _lost(self) -> DeviceLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._output.take()
        return reason_of(self._process.returncode, self._before, self._output.text)

    def release(self) -> None:
        """Close the connection without waiting; the worker ends on its own."""
        self._socket.close()
        self._output.close()

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Close the connection, which ends the worker, also one that is stopped; if it does not, SIGKILL."""
        self.release()
        self.signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
        if self.alive:
            self.signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self._remove_cache()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and to the compilers that it started, if it is alive."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)  # the leader of its session, and so of its group


class _Output:
    """What a process prints to stderr: logged, and the end of it kept. ``descriptor`` is the pipe's end."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._is_open = True
        self._kept = b""
        os.set_blocking(descriptor, False)

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    def take(self) -> None:
        """All that can be read without waiting."""
        while not self.ended:
            try:
                chunk = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return
            self.ended = not chunk
            self._kept = (self._kept + chunk)[-_KEPT_OUTPUT_BYTES:]
            for line in chunk.decode(errors="replace").splitlines():
                log.info("%s", line)

    def close(self) -> None:
        self.ended = True
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)


@contextlib.contextmanager
def _blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Processes that this thread starts inside have these signals blocked until they ignore them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
