"""The worker process: receives commands, sends events, keeps one device open.

The main thread measures; a second thread reads commands, so that a cancel takes effect in the middle of
a run, and a third says that the process is alive. When the connection closes, the owner is gone and the
process ends.
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

from gpubench import typed
from gpubench.devices.base import Device
from gpubench.devices.process_limits import limit_reached
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.errors import Cancelled, DeviceLost, GpubenchError, InternalError
from gpubench.executor.messages import Alive, Cancel, Command, Event, Finished, Probe, Probed, Run
from gpubench.executor.pulse import BEAT_SECONDS
from gpubench.executor.watchdog import continue_without_parent, end_if_blocked
from gpubench.results.document import ErrorInfo
from gpubench.results.machine import Clocks, Telemetry
from gpubench.signals import IGNORED_BY_WORKER

EXIT_GRACE_SECONDS = 2.0
"""A run notices that its owner is gone between samples; a driver call that hangs never does."""


class _Owner:
    """The connection to the owner: sends events, and receives commands on a thread of its own.

    Another thread sends a sign of life while a command is executed.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._executing = threading.Event()
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()
        threading.Thread(target=self._receive_all, name="commands", daemon=True).start()

    def commands(self) -> Iterator[Command]:
        """Until the owner is gone."""
        while (command := self._commands.get()) is not None:
            self._executing.set()
            yield command
            self._executing.clear()

    def send(self, event: Event | Alive) -> None:
        line = msgspec.json.encode(event) + b"\n"
        try:
            with self._sending:
                self._connection.sendall(line)
        except OSError:
            self._stop.set()

    def _beat(self) -> None:
        while self._executing.wait():
            self.send(Alive())
            time.sleep(BEAT_SECONDS)

    def raise_if_cancelled(self) -> None:
        if self._stop.is_set():
            raise Cancelled("the run was cancelled")

    def _receive_all(self) -> None:
        try:
            self._receive()
        except OSError:
            pass  # an owner that is killed with events unread resets the connection
        finally:
            self._stop.set()
            self._commands.put(None)
            threading.Timer(EXIT_GRACE_SECONDS, os._exit, [0]).start()

    def _receive(self) -> None:
        decoder = typed.decoder(Command)
        with self._connection.makefile("rb") as lines:
            for line in lines:
                command: Command = decoder.decode(line)
                if isinstance(command, Cancel):
                    self._stop.set()
                else:
                    # Cleared here, not when the run starts: its cancel may be the next line.
                    self._stop.clear()
                    self._commands.put(command)


def serve(connection: socket.socket) -> None:
    """Execute the commands that arrive on ``connection`` until it closes or the device is lost."""
    owner = _Owner(connection)
    device: Device | None = None
    for command in owner.commands():
        if isinstance(command, Probe):
            asked = [name for name in RUNTIMES if name in command.runtimes]
            owner.send(Probed(*survey(asked, command.libraries)))
        elif isinstance(command, Run):
            # Imported late: it needs numpy, which comes with a runtime. Without it a worker must still
            # be able to report what is missing.
            from gpubench.executor.run_executor import RunExecutor

            try:
                if device is None or device.info.id != command.device:
                    device = open_device(command.device, command.library)
                owner.send(RunExecutor(device, owner, command.memory).run(command))
            except DeviceLost as error:
                owner.send(_failed(error))
                return  # this process cannot use the device again: a new one starts with a new context
            except GpubenchError as error:
                owner.send(_failed(error))
            except Exception as error:
                internal = InternalError(f"internal error in gpubench: {type(error).__name__}: {error}")
                owner.send(_failed(limit_reached(error) or internal))
    if device is not None:
        device.close()


def _failed(error: GpubenchError) -> Finished:
    return Finished(Clocks(), Telemetry(), error=ErrorInfo.of(error))


def main(descriptor: int) -> None:
    """Serve on an inherited socket, and exit without running the drivers' exit handlers."""
    for number in IGNORED_BY_WORKER:
        signal.signal(number, signal.SIG_IGN)
    # The owner started this process with them blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_BY_WORKER)
    continue_without_parent()
    end_if_blocked()  # before there are threads
    with socket.socket(fileno=descriptor) as connection:
        serve(connection)
    os._exit(0)  # PoCL 3.0 sometimes crashes in its exit handlers
