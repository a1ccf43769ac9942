"""The worker process: commands in, events out, one device open.

The main thread measures; a second thread reads commands, so that a cancel is heard in the middle
of a run. When the connection closes, the owner is gone: the process ends, gently if the driver
lets it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator

import msgspec

from gpubench.devices.base import Device
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.errors import Cancelled, DeviceLost, GpubenchError, InternalError
from gpubench.executor.messages import (
    Cancel,
    Command,
    Event,
    Finished,
    Found,
    Measured,
    Probe,
    Probed,
    Progressed,
    Run,
    Started,
    Tuned,
)
from gpubench.results.document import ErrorInfo, Finding, Measurement, Tuning
from gpubench.results.machine import Clocks, Telemetry
from gpubench.results.progress import Progress

EXIT_GRACE_SECONDS = 2.0
"""A run looks for the end of its owner between samples; a driver call that hangs never does."""

HELD_SECONDS = 300.0
"""No driver call that will ever return keeps all threads of Python waiting so long."""


class _Owner:
    """The connection to the owner: sends events, and hears commands on a thread of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def commands(self) -> Iterator[Command]:
        """Until the owner is gone."""
        while (command := self._commands.get()) is not None:
            yield command

    def send(self, event: Event) -> None:
        try:
            self._connection.sendall(msgspec.json.encode(event) + b"\n")
        except OSError:
            self._stop.set()

    def raise_if_cancelled(self) -> None:
        if self._stop.is_set():
            raise Cancelled("the run was cancelled")

    def started(self, event: Started) -> None:
        self.send(event)

    def progress(self, progress: Progress) -> None:
        self.send(Progressed(progress))

    def tuned(self, tuning: Tuning) -> None:
        self.send(Tuned(tuning))

    def measured(self, measurement: Measurement) -> None:
        self.send(Measured(measurement))

    def found(self, finding: Finding) -> None:
        self.send(Found(finding))

    def _listen(self) -> None:
        try:
            self._hear()
        except OSError:
            pass  # an owner that was killed with our words unread resets the connection
        finally:
            self._stop.set()
            self._commands.put(None)
            threading.Timer(EXIT_GRACE_SECONDS, os._exit, [0]).start()

    def _hear(self) -> None:
        decoder = msgspec.json.Decoder(Command)
        with self._connection.makefile("rb") as lines:
            for line in lines:
                command: Command = decoder.decode(line)
                if isinstance(command, Cancel):
                    self._stop.set()
                else:
                    # Here and not where it is taken: a cancel may stand right behind its run.
                    self._stop.clear()
                    self._commands.put(command)


def serve(connection: socket.socket) -> None:
    """Obey the owner at the other end of ``connection`` until it closes or the device is lost."""
    owner = _Owner(connection)
    device: Device | None = None
    for command in owner.commands():
        if isinstance(command, Probe):
            owner.send(Probed(*survey([name for name in RUNTIMES if name in command.runtimes])))
        elif isinstance(command, Run):
            # Not before: without numpy, which comes with a runtime, a worker can still say what is missing.
            from gpubench.executor.run_executor import RunExecutor

            try:
                if device is None or device.info.id != command.device:
                    device = open_device(command.device)
                owner.send(RunExecutor(device, owner, command.memory).run(command))
            except DeviceLost as error:
                owner.send(_failed(error))
                return  # the context is dead for good: a new process starts with a new one
            except GpubenchError as error:
                owner.send(_failed(error))
            except Exception as error:
                owner.send(_failed(InternalError(f"a mistake of gpubench: {type(error).__name__}: {error}")))
    if device is not None:
        device.close()


def end_where_held(held_seconds: float = HELD_SECONDS) -> None:
    """SIGALRM ends the process when Python did not run for so long.

    A call that hangs and lets no other thread run would keep the end of the owner from being heard: such a
    worker went on alone, and took a core from every run after it.
    """

    def put_off() -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, held_seconds)
            time.sleep(held_seconds / 10)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=put_off, name="held", daemon=True).start()


def _failed(error: GpubenchError) -> Finished:
    return Finished(Clocks(), Telemetry(), error=ErrorInfo.of(error))


def main(descriptor: int) -> None:
    """Serve on an inherited socket, and leave without the exit handlers of drivers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_where_held()
    with socket.socket(fileno=descriptor) as connection:
        serve(connection)
    os._exit(0)  # PoCL 3.0 sometimes crashes in its own exit handlers
