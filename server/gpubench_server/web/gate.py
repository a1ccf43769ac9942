"""Bounds on each HTTP connection that uvicorn does not have; this code runs in front of it.

A connection carries one request. Its head has one deadline, because a time-out per read would restart with
each byte, and so has each response, from its first byte that the client does not take. Bodies are passed on,
and the one page that takes one (``sign_in.py``) has bounds of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.transports import tune
from gpubench_server.web.http_places import HttpPlaces, Place
from gpubench_server.wrong_protocol import answer_on_http_port, http_response

MAX_HEAD_BYTES = 16 * 1024
"""The longest head of a request; scrapers send a few hundred bytes."""

_SLOWEST_BYTES_PER_SECOND = 256 * 1024
"""What a long response adds to its deadline: a report is some megabytes, perhaps through ``ssh -L``."""

NOBODY = "::"
"""In place of the address of a client that has gone already."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BUSY = http_response(
    "503 Service Unavailable", "this port, or your address, has reached its maximum of connections"
)
_REPLACED = http_response(
    "503 Service Unavailable",
    "this port, or your address, has reached its maximum of connections, and no request had come on this one",
)


@dataclass
class Gates:
    """What all connections of a server share."""

    limits: Limits
    benchmark_urls: str
    metrics: MetricsState
    places: HttpPlaces = field(init=False)
    admitted: set[Gate] = field(default_factory=set)
    refused: set[Gate] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.places = HttpPlaces(self.limits.http_connections)

    def abort_all(self) -> None:
        for gate in [*self.admitted, *self.refused]:
            gate.abort()

    def abort_idle(self) -> None:
        """Those for which no response is being made."""
        for gate in [*self.admitted, *self.refused]:
            if not gate.serving:
                gate.abort()


class Gate(asyncio.Protocol):
    """Reads the head of a request, and passes the connection on to the protocol that ``serve`` makes."""

    def __init__(
        self, gates: Gates, serve: Callable[[], asyncio.Protocol], place: Place | None = None
    ) -> None:
        """``place``: the one that it has already; otherwise it takes one once it is connected."""
        self._gates = gates
        self._serve = serve
        self._place = place
        self._served: asyncio.Protocol | None = None
        self._answered = False
        self._ending = False
        self._noticed: _Noticed | None = None
        self._head = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._connected = False

    @property
    def serving(self) -> bool:
        return self._served is not None

    def abort(self) -> None:
        if self._connected:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP and TLS have no other
        self._transport = transport
        self._connected = True
        with contextlib.suppress(OSError):  # some systems refuse options of a connection that was reset
            tune(transport.get_extra_info("socket"))
        if self._place is None:
            self._place = self._gates.places.take(host_of(transport), self._give_up_place)
            if self._place is None:
                self._refuse(_BUSY, "too_many")
                return
        else:
            self._place.give_up = self._give_up_place
        self._gates.admitted.add(self)
        # So that we hear of every byte that is not taken at once. asyncio's TLS takes 0 for always full.
        transport.set_write_buffer_limits(high=0 if transport.can_write_eof() else 1, low=0)
        self._wait(self._gates.limits.http_deadline_seconds, self._late)

    def data_received(self, data: bytes) -> None:
        if self._served is not None:
            self._served.data_received(data)
        elif not self._answered:  # else it is discarded
            searched = max(0, len(self._head) - 3)
            self._head += data
            self._judge(searched)

    def eof_received(self) -> bool:
        """Whether to keep the connection: who ends the input after a request still gets the response, but not
        with asyncio's TLS, which knows no half of a connection."""
        return self._served is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        if self._served is not None:
            self._served.pause_writing()
            self._wait_for_client()

    def resume_writing(self) -> None:
        if self._served is not None:
            if not self._ending:
                self._stop_waiting()
            self._served.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._release_place()
        self._gates.refused.discard(self)
        if self._served is not None:
            self._served.connection_lost(exc)
        self._stop_waiting()

    # Inside.

    def _judge(self, searched: int) -> None:
        explanation = answer_on_http_port(self._head, self._gates.benchmark_urls)
        if explanation is not None:
            self._answer(explanation)
        elif (end := _HEAD_END.search(self._head, searched)) and end.end() <= MAX_HEAD_BYTES:
            self._pass_on(self._head)
        elif len(self._head) > MAX_HEAD_BYTES:
            self._answer(http_response("431 Request Header Fields Too Large"))

    def _pass_on(self, request: bytes) -> None:
        assert self._place is not None  # noqa: S101 - what comes without one is discarded
        self._place.is_new = False
        self._stop_waiting()
        self._head = b""
        self._served = self._serve()
        if self._transport.can_write_eof():
            self._served.connection_made(self._transport)
        else:
            self._noticed = _Noticed(self._transport, self._response_ended)
            self._served.connection_made(self._noticed)  # type: ignore[arg-type]  # as good as one
        self._served.data_received(request)

    def _response_ended(self) -> None:
        """Of TLS: asyncio has one time for all sizes, in which the client must take the rest."""
        self._ending = True
        self._wait_for_client()

    def _wait_for_client(self) -> None:
        # Most of what is left of TLS is in a buffer that does not show: all that was written is counted.
        left = self._noticed.written_bytes if self._noticed else self._transport.get_write_buffer_size()
        self._wait(self._gates.limits.http_deadline_seconds + left / _SLOWEST_BYTES_PER_SECOND, self.abort)

    def _late(self) -> None:
        text = f"a request was not completed in {self._gates.limits.http_deadline_seconds:g} s"
        self._answer(http_response("408 Request Timeout", text))

    def _give_up_place(self) -> None:
        self._refuse(_REPLACED, "replaced")

    def _refuse(self, answer: bytes, reason: str) -> None:
        self._gates.metrics.connection_rejected(reason)
        self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        """Say why there is no page, and close a moment later: closing with unread input would reset the
        connection, and the reset can overtake the answer.

        From now on it needs no place, but a file: of very many, the last are closed at once.
        """
        self._answered = True
        self._head = b""
        self._release_place()
        self._transport.write(answer)
        if len(self._gates.refused) < self._gates.limits.http_connections:
            self._gates.refused.add(self)
            self._end_output()
            self._wait(self._gates.limits.linger_seconds, self.abort)
        elif self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.abort()  # a goodbye would take time

    def _end_output(self) -> None:
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client has left already
                self._transport.write_eof()
        elif not self._transport.is_closing():  # after a second `close`, asyncio's TLS could not be aborted
            self._transport.close()  # it reads on by itself until the client has said goodbye

    def _release_place(self) -> None:
        self._gates.admitted.discard(self)
        if self._place is not None:
            self._gates.places.release(self._place)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Noticed:
    """A transport that counts what is written, and of which ``closed`` learns that it will end once all is
    sent."""

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], None]) -> None:
        self._transport = transport
        self._closed = closed
        self.written_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.written_bytes += len(data)
        self._transport.write(data)

    def close(self) -> None:
        self._closed()
        if not self._transport.is_closing():  # as in `Gate._end_output`
            self._transport.close()


def host_of(transport: asyncio.BaseTransport) -> str:
    """The address of the client; of one that has gone already, that of nobody."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else NOBODY
