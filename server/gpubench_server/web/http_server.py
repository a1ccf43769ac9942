"""The HTTP server: uvicorn in a thread of the server process, behind the bounds of ``gate.py``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpubench.devices.process_limits import limit_reached
from gpubench_server.addresses import Address, bound_host_port
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.tls import Tls, subject_of
from gpubench_server.transports import BoundedMixIn, listening_socket
from gpubench_server.web.gate import MAX_HEAD_BYTES, Gate, Gates
from gpubench_server.web.http_places import Place
from gpubench_server.web.tls_port import TlsPort

log = logging.getLogger(__name__)

_WARN_SECONDS = 1.0
"""Between two lines on the same trouble."""

_END_SECONDS = 1
"""For responses that are under way at the end; uvicorn, which would log an error, waits longer."""


class _Turning(uvicorn.Server):
    turned_at = math.inf
    """When the loop last came round, on the monotonic clock."""

    async def on_tick(self, counter: int) -> bool:
        self.turned_at = time.monotonic()
        return await super().on_tick(counter)


class _Http(H11Protocol):
    """Passes the client's certificate to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.app_state = {**self.app_state, "certificate": subject_of(tls)}


class WebServer:
    """Serves an ASGI application on one address; it listens once constructed. Raises ``CannotListen``.

    ``ending`` is set when it shuts down: responses without an end of their own watch it. With ``tls`` it
    speaks HTTPS.
    """

    def __init__(
        self,
        address: Address,
        application: ASGIApp,
        limits: Limits,
        benchmark_urls: str,
        ending: threading.Event,
        metrics: MetricsState,
        tls: Tls | None = None,
    ) -> None:
        self._ending = ending
        self._tls = tls
        self._gates = Gates(limits, benchmark_urls, metrics)
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warned_at = -math.inf
        config = uvicorn.Config(
            application,
            backlog=BoundedMixIn.request_queue_size,
            http=self._gate,  # type: ignore[arg-type]  # called as the class of a protocol is
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # a client's mistakes are its own
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=[("connection", "close")],
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_graceful_shutdown=2 * _END_SECONDS,
        )
        self._server = _Turning(config)
        self.socket = listening_socket(address)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{bound_host_port(self.socket)}"

    @property
    def turned_at(self) -> float:
        return self._server.turned_at

    def serve_forever(self, poll_seconds: float) -> None:
        """Until ``shutdown``; uvicorn looks for it ten times a second, whatever ``poll_seconds`` is."""
        try:
            asyncio.run(self._serve())
        finally:
            self._ended.set()

    def shutdown(self) -> None:
        """End ``serve_forever``, which must have been called, and wait until it has ended."""
        self._ending.set()
        self._server.should_exit = True
        with contextlib.suppress(RuntimeError):  # it ended by itself
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._end_connections)
        self._ended.wait()

    def _end_connections(self) -> None:
        self._gates.abort_idle()
        asyncio.get_running_loop().call_later(_END_SECONDS, self._gates.abort_all)

    def close(self) -> None:
        self.socket.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._report)
        try:
            if self._tls is None:
                await self._server.serve([self.socket])
            else:
                await self._serve_tls(self._tls)
        finally:
            self._gates.abort_all()
            await asyncio.sleep(0)  # for the sockets to be closed

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error that the event loop cannot raise anywhere.

        Without a file for a connection it tries again as often as its queue is long, some hundred times,
        and would log a traceback each time.
        """
        error = context.get("exception")
        limit = limit_reached(error) if isinstance(error, OSError) else None
        if limit is None:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._warned_at >= _WARN_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("cannot accept a connection on the HTTP port: %s; trying again", limit.message)

    async def _serve_tls(self, tls: Tls) -> None:
        """uvicorn serves what is accepted here."""

        def make_gate(place: Place) -> Gate:
            return self._gate(place, config=server.config, server_state=server.server_state, app_state={})

        def stop(_: asyncio.Task[None]) -> None:
            server.should_exit = True

        server = self._server
        port = TlsPort(self.socket, self.url, tls, self._gates, make_gate)
        accepting = asyncio.create_task(port.accept_forever())
        accepting.add_done_callback(stop)
        try:
            await server.serve([])
        finally:
            accepting.cancel()
            port.abort()
            with contextlib.suppress(asyncio.CancelledError):
                await accepting  # raises what made it fail

    def _gate(self, place: Place | None = None, **parts: Any) -> Gate:
        return Gate(self._gates, lambda: _Http(**parts), place)
