"""The HTTP server: uvicorn in a thread of the server process, behind the bounds of ``gate.py``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpubench_server.limits import Limits
from gpubench_server.transports import Address, listen
from gpubench_server.web.gate import MAX_HEAD_BYTES, Gate, Gates

_END_SECONDS = 1
"""For responses that are under way at the end."""


class WebServer:
    """Serves an ASGI application on one address; it listens once constructed. Raises ``CannotListen``.

    ``ending`` is set when it shuts down: responses without an end of their own watch it.
    """

    def __init__(
        self,
        address: Address,
        application: ASGIApp,
        limits: Limits,
        tcp_url: str,
        ending: threading.Event,
    ) -> None:
        self._ending = ending
        self._gates = Gates(limits, tcp_url)
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            application,
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
            timeout_graceful_shutdown=_END_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        listen(self._socket, address)
        self.server_address: Any = self._socket.getsockname()

    def serve_forever(self) -> None:
        """Until ``shutdown``."""
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
                self._loop.call_soon_threadsafe(self._gates.abort_idle)
        self._ended.wait()

    def close(self) -> None:
        self._socket.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._server.serve([self._socket])
        finally:
            self._gates.abort_all()
            await asyncio.sleep(0)  # for the sockets to be closed

    def _gate(self, **parts: Any) -> Gate:
        return Gate(self._gates, lambda: H11Protocol(**parts))
