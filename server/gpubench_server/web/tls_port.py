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
from gpubench_server.metrics_state import MetricsState
from gpubench_server.tls import Tls
from gpubench_server.web.gate import Gate, Gates
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
        metrics: MetricsState,
        make_gate: Callable[[], Gate],
    ) -> None:
        """``make_gate`` is called for each connection that has shaken hands or is about to."""
        self._listener = listener
        self._url = url
        self._tls = tls
        self._gates = gates
        self._limits = gates.limits
        self._metrics = metrics
        self._make_gate = make_gate
        self._connections = ConnectionRates(self._limits.max_connections_per_second)
        self._shaking: dict[asyncio.Task[None], str] = {}
        self._refused: dict[asyncio.Task[None], str] = {}

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
            host = address[0]
            if not self._too_often(host) and self._gates.has_place(host, self._shaking.values()):
                self._keep(self._shaking, host, self._shake_hands(connection, host))
            elif len(self._refused) < self._limits.http_connections:
                self._keep(self._refused, host, self._say(connection, TLS_REFUSAL))
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
            task.cancel()

    def _keep(
        self, tasks: dict[asyncio.Task[None], str], host: str, doing: Coroutine[Any, Any, None]
    ) -> None:
        task = asyncio.create_task(doing)
        tasks[task] = host  # the loop itself does not keep it
        task.add_done_callback(tasks.pop)

    async def _shake_hands(self, connection: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.handshake_seconds
        try:
            async with asyncio.timeout_at(until):
                beginning = await _beginning(connection)
            if beginning and not beginning.startswith(TLS_HANDSHAKE):
                self._failed(host, "it does not speak TLS")
                await self._say(connection, answer_on_tls_port(beginning, self._url))
                return
        except OSError as error:
            connection.close()
            self._failed(host, reason(error) or "it is silent")
            return
        except BaseException:
            connection.close()
            raise
        try:
            await loop.connect_accepted_socket(  # which closes it if this fails
                self._make_gate,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=max(0.001, until - loop.time()),
                ssl_shutdown_timeout=_LAST_SECONDS,
            )
        except OSError as error:
            self._failed(host, reason(error) or "it left")

    async def _say(self, connection: socket.socket, answer: bytes) -> None:
        """In clear text, and close a moment later: the reset would overtake the answer."""
        try:
            with contextlib.suppress(OSError):
                connection.send(answer)
                connection.shutdown(socket.SHUT_WR)
            await asyncio.sleep(self._limits.linger_seconds)
        finally:
            connection.close()

    def _failed(self, host: str, why: str) -> None:
        self._metrics.connection_rejected("handshake")
        log.info("no TLS with an HTTP client at %s: %s", host, why, extra={"peer": host, "transport": "tls"})


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
