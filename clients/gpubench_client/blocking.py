"""The blocking driver: performs the steps of the protocol with a socket and the clock."""

from __future__ import annotations

import socket
import ssl
import time

from gpubench_client import sockets
from gpubench_client.steps import (
    RECEIVE_BYTES,
    Close,
    Connect,
    Outcome,
    Question,
    Receive,
    Send,
    Sleep,
    Step,
    Steps,
    T,
)
from gpubench_client.tls import context_for, failure, server_name


class BlockingDriver:
    """Runs generators, and holds the one connection that their steps are about."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._connect_step: Connect | None = None

    def run(self, steps: Steps[T]) -> T:
        """Perform all steps of a generator, and return what it returns."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._perform(step)
                except BaseException as error:  # ^C too: the generator must close what it broke off
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _perform(self, step: Step) -> Outcome:
        try:
            return self._do(step)
        except ssl.SSLError as error:
            if self._connect_step is None:
                raise
            connected = not isinstance(step, Connect)
            raise failure(error, self._connect_step, connected=connected) from None

    def _do(self, step: Step) -> Outcome:
        match step:
            case Receive():
                return self._receive(step.timeout_seconds)
            case Send():
                connection = self._connection()
                connection.settimeout(step.timeout_seconds)
                connection.sendall(step.data)
            case Sleep():
                time.sleep(step.seconds)
                return Outcome(step.seconds)
            case Connect():
                self._connect(step)
            case Question():
                return sockets.ask(step)
            case Close():
                self._close()
        return Outcome()

    def _connect(self, step: Connect) -> None:
        self._close()
        self._connect_step = step
        context = context_for(step.tls) if step.tls else None
        self._socket = sockets.connected(step.address, step.timeout_seconds)
        if context is not None:  # the handshake may take as long again
            self._socket = context.wrap_socket(self._socket, server_hostname=server_name(step.address))

    def _receive(self, timeout_seconds: float) -> Outcome:
        connection = self._connection()
        connection.settimeout(timeout_seconds)
        started_at = time.monotonic()
        try:
            data: bytes | None = connection.recv(RECEIVE_BYTES)
        except TimeoutError:
            data = self._received_already(connection)  # while this process was stopped
        except (BlockingIOError, ssl.SSLWantReadError):
            data = None
        return Outcome(time.monotonic() - started_at, data)

    @staticmethod
    def _received_already(connection: socket.socket) -> bytes | None:
        connection.settimeout(0.0)
        try:
            return connection.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise OSError("not connected")
        return self._socket
