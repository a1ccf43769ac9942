"""TLS on the HTTP port: connections are accepted here, and shake hands before ``gate.py`` reads from them.

uvicorn would leave a silent client a minute for the handshake, and count it nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from gpubench.errors import LimitExceeded
from gpubench.protocol.tls import reason
from gpubench_server.connection_rates import ConnectionRates
from gpubench_server.tls import Tls
from gpubench_server.web.gate import Gate, Gates
from gpubench_server.web.http_places import Place
from gpubench_server.wrong_protocol import TLS_HANDSHAKE, TLS_REFUSAL, answer_on_tls_port

log = logging.getLogger(__name__)

_BACK_OFF_SECONDS = 0.1
"""When no connection can be accepted, such as for want of file descriptors."""

_LAST_SECONDS = 86_400.0
"""For the end of a connection, which ``gate.py`` bounds by how much the client still has to take."""


class TlsPort:
    """Of one event loop."""

    def __init__(
        self,
        listener: socket.socket,
        url: str,
        tls: Tls,
        gates: Gates,
        make_gate: Callable[[Place], Gate],
    ) -> None:
        """``make_gate`` is called for each connection that has shaken hands or is about to."""
        self._listener = listener
        self._url = url
        self._tls = tls
        self._gates = gates
        self._limits = gates.limits
        self._metrics = gates.metrics
        self._make_gate = make_gate
        self._connections = ConnectionRates(self._limits.max_connections_per_second)
        self._shaking: set[asyncio.Task[None]] = set()
        self._refused: set[asyncio.Task[None]] = set()

    async def accept_forever(self) -> None:
        """Until it is cancelled."""
        self._listener.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("cannot accept an HTTP connection: %s; trying again", error.strerror)
                await asyncio.sleep(_BACK_OFF_SECONDS)
                continue
            self._receive(connection, address[0])
            await asyncio.sleep(0)  # for those that lost their places to be closed before the next comes

    def _receive(self, connection: socket.socket, host: str) -> None:
        if self._too_often(host):
            self._refuse(connection, TLS_REFUSAL)
            return
        place = self._gates.places.take(host, lambda: self._replace(shaking))
        if place is None:
            self._metrics.connection_rejected("too_many")
            self._refuse(connection, TLS_REFUSAL)
            return
        shaking = self._keep(self._shaking, self._shake_hands(connection, place))

    def _replace(self, shaking: asyncio.Task[None]) -> None:
        self._metrics.connection_rejected("replaced")
        _cancel(shaking)

    def _refuse(self, connection: socket.socket, answer: bytes) -> None:
        if len(self._refused) < self._limits.http_connections:
            self._keep(self._refused, self._say(connection, answer))
        else:
            connection.close()

    def _too_often(self, host: str) -> bool:
        """Whether an address of another machine connects too often, which is counted."""
        try:
            self._connections.check(host)
        except LimitExceeded:
            self._metrics.connection_rejected("rate")
            return True
        return False

    def abort(self) -> None:
        """End all handshakes."""
        for task in [*self._shaking, *self._refused]:
            _cancel(task)

    def _keep(self, tasks: set[asyncio.Task[None]], doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(tasks.discard)
        return task

    async def _shake_hands(self, connection: socket.socket, place: Place) -> None:
        has_gate = False
        try:
            has_gate = await self._pass_on(connection, place)
        except OSError as error:
            self._failed(place, reason(error) or "it is silent or left")
        finally:
            if not has_gate:
                self._gates.places.release(place)

    async def _pass_on(self, connection: socket.socket, place: Place) -> bool:
        """Whether the connection is a gate's now, with its place. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.handshake_seconds
        try:
            async with asyncio.timeout_at(until):
                beginning = await _beginning(connection)
            if beginning and not beginning.startswith(TLS_HANDSHAKE):
                self._failed(place, "it does not speak TLS")
                self._refuse(connection, answer_on_tls_port(beginning, self._url))
                return False
        except BaseException:
            connection.close()
            raise
        gate = self._make_gate(place)
        try:
            await loop.connect_accepted_socket(
                lambda: gate,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=max(0.001, until - loop.time()),
                ssl_shutdown_timeout=_LAST_SECONDS,
            )
        except BaseException:
            gate.abort()  # cancelled as the handshake ended, asyncio would wait for the client's goodbye
            raise
        return True

    async def _say(self, connection: socket.socket, answer: bytes) -> None:
        """In clear text, and close a moment later: the reset would overtake the answer."""
        try:
            with contextlib.suppress(OSError):
                connection.send(answer)
                connection.shutdown(socket.SHUT_WR)
            await asyncio.sleep(self._limits.linger_seconds)
        finally:
            connection.close()

    def _failed(self, place: Place, why: str) -> None:
        self._metrics.connection_rejected("handshake")
        host = place.host
        log.info("no TLS with an HTTP client at %s: %s", host, why, extra={"peer": host, "transport": "tls"})


def _cancel(task: asyncio.Task[None]) -> None:
    """In the next turn of the loop: before its first step, the task would not close its socket."""
    asyncio.get_running_loop().call_soon(task.cancel)


async def _beginning(connection: socket.socket) -> bytes:
    """The first bytes, which are left to be read again; empty at the end of input."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(len(b"OPTIONS "), socket.MSG_PEEK)
