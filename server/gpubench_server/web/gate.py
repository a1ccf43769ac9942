"""Bounds on each HTTP connection that uvicorn does not have; this code runs in front of it.

A connection carries one request. Its head has one deadline, because a time-out per read would restart with
each byte, and so has each response, from its first byte that the client does not take. Bodies are passed on,
and the one page that takes one (``sign_in.py``) has bounds of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gpubench_server.authentication import is_loopback
from gpubench_server.limits import Limits
from gpubench_server.transports import tune
from gpubench_server.wrong_protocol import answer_on_http_port, http_response

MAX_HEAD_BYTES = 16 * 1024
"""The longest head of a request; scrapers send a few hundred bytes."""

_SLOWEST_BYTES_PER_SECOND = 256 * 1024
"""What a long response adds to its deadline: a report is some megabytes, perhaps through ``ssh -L``."""

NOBODY = "::"
"""In place of the address of a client that has gone already."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BUSY = http_response("503 Service Unavailable", "this port has reached its maximum of connections")


@dataclass
class Gates:
    """What all connections of a server share."""

    limits: Limits
    benchmark_urls: str
    admitted: set[Gate] = field(default_factory=set)
    refused: set[Gate] = field(default_factory=set)

    def has_place(self, host: str, others: Iterable[str] = ()) -> bool:
        """Whether one more client from this address may come in, beside those of ``others``.

        An address of another machine may have half of the places.
        """
        hosts = [*(gate.host for gate in self.admitted), *others]
        most = self.limits.http_connections
        own = sum(each == host for each in hosts)
        return len(hosts) < most and (is_loopback(host) or own < max(1, most // 2))

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

    def __init__(self, gates: Gates, serve: Callable[[], asyncio.Protocol]) -> None:
        self._gates = gates
        self._serve = serve
        self._served: asyncio.Protocol | None = None
        self._answered = False
        self._ending = False
        self._noticed: _Noticed | None = None
        self._head = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self.host = ""
        """Where the client is."""

    @property
    def serving(self) -> bool:
        return self._served is not None

    def abort(self) -> None:
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP and TLS have no other
        self._transport = transport
        with contextlib.suppress(OSError):  # some systems refuse options of a connection that was reset
            tune(transport.get_extra_info("socket"))
        self.host = host_of(transport)
        if not self._gates.has_place(self.host):
            self._refuse(_BUSY)
            return
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
        self._gates.admitted.discard(self)
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

    def _refuse(self, answer: bytes) -> None:
        """Those refused hold no place, but a file each: of very many, the last are closed at once."""
        if len(self._gates.refused) >= self._gates.limits.http_connections:
            self._transport.write(answer)
            if self._transport.can_write_eof():
                self._transport.close()
            else:
                self._transport.abort()  # a goodbye would take time
            return
        self._gates.refused.add(self)
        self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        """Say why there is no page, and close a moment later: closing with unread input would reset the
        connection, and the reset can overtake the answer."""
        self._answered = True
        self._head = b""
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # of TLS, which reads on by itself until the client has said goodbye
            self._transport.close()
        self._wait(self._gates.limits.linger_seconds, self.abort)

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
        self._transport.close()


def host_of(transport: asyncio.BaseTransport) -> str:
    """The address of the client; of one that has gone already, that of nobody."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else NOBODY
