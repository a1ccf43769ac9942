"""``/live``: the queues and the progress of the running benchmarks as server-sent events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gpubench_server.web.source import Source

_EVENTS = "text/event-stream"

_LOOK_SECONDS = 0.25
_HEARTBEAT_SECONDS = 1.0
"""A failed write is how it is noticed that a client is gone."""


class LiveFeed:
    """At most ``most`` clients watch at once; each is sent the status when it has changed."""

    def __init__(self, source: Source, most: int, ending: threading.Event) -> None:
        self._source = source
        self._most = most
        self._ending = ending
        self._watching = 0

    async def page(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=_EVENTS)
        if self._watching >= self._most:
            text = f"{self._most} clients are watching already, which is the maximum; try again in a moment\n"
            return PlainTextResponse(text, 503, {"Retry-After": "10"})
        self._watching += 1
        return _Watched(self._changes(request.state.visitor.still_admitted), self._left)

    def _left(self) -> None:
        self._watching -= 1

    async def _changes(self, still_admitted: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        last, quiet_seconds = b"", 0.0
        yield b"retry: 2000\n\n"
        while not self._ending.is_set() and await still_admitted():
            now = msgspec.json.encode(self._source.status())  # without a line break
            if now != last:
                yield b"event: status\ndata: " + now + b"\n\n"
                last, quiet_seconds = now, 0.0
            elif quiet_seconds >= _HEARTBEAT_SECONDS:
                yield b":\n\n"
                quiet_seconds = 0.0
            await asyncio.sleep(_LOOK_SECONDS)
            quiet_seconds += _LOOK_SECONDS


class _Watched(StreamingResponse):
    """Calls ``left`` once its client is gone, however it went."""

    def __init__(self, events: AsyncIterator[bytes], left: Callable[[], None]) -> None:
        super().__init__(events, media_type=_EVENTS)
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()
