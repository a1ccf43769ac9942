"""One client of the gateway, served by a process of its own from its first byte to its last."""

from __future__ import annotations

import contextlib
import hmac
import math
import select
import socket
import time
from dataclasses import dataclass

from gpubench.errors import GpubenchError, InvalidParameters, LineTooLong, NotAuthenticated
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import MAX_REQUEST_BYTES
from gpubench_server.bad_lines import incomplete
from gpubench_server.encode import error_line, refusal
from gpubench_server.gateway.core import Core, NotForGateways
from gpubench_server.gateway.link import NOT_FOR_GATEWAYS, Link, draining
from gpubench_server.gateway.relay import PIECE_BYTES, ClientGone, Relay
from gpubench_server.gateway.requests import BadRequest, CheckedRequest, check
from gpubench_server.limits import Limits
from gpubench_server.tls import NOT_NOW, Tls, discard_input, end_output, shake_hands
from gpubench_server.wrong_protocol import RECOGNISED_BYTES, answer_on_line_port

_HTTP = "the HTTP address of the server behind this gateway"


@dataclass(frozen=True)
class Service:
    """What every child serves."""

    core: Core
    limits: Limits
    tls: Tls | None


class _Refused(Exception):
    """The last line for the client, if there is any."""

    def __init__(self, answer: bytes | None) -> None:
        super().__init__()
        self.answer = answer


class Child:
    """Serves one accepted connection; ``url`` is where it came in."""

    def __init__(self, service: Service, connection: socket.socket, link: Link, url: str) -> None:
        self._core = service.core
        self._limits = service.limits
        self._tls = service.tls if url.startswith("tls://") else None
        self._client = connection
        self._link = link
        self._url = url
        self._lines = LineBuffer(MAX_REQUEST_BYTES)
        self._input_ended = False
        self._token = ""

    def serve(self) -> None:
        with contextlib.suppress(ClientGone, OSError):
            if self._tls is None or self._encrypt(self._tls):
                self._client.setblocking(False)
                self._serve_lines()
        with contextlib.suppress(OSError):
            self._client.close()

    def _encrypt(self, tls: Tls) -> bool:
        """Whether the client speaks TLS."""
        client = tls.wrap(self._client)
        self._client = client
        return shake_hands(
            client, self._limits, self._url, lambda why: self._link.note("handshake", f"no TLS: {why}")
        )

    def _serve_lines(self) -> None:
        try:
            hello = self._first_request()
            core = self._connect(hello)
        except _Refused as refused:
            self._send_last(refused.answer)
            self._end()
            return
        with core:
            core.setblocking(False)
            relay = Relay(self._client, core, self._link, self._lines, self._limits, self._checked)
            relay.run(hello.line)
        self._end()

    # Until it is known who the client is.

    def _first_request(self) -> CheckedRequest:
        """Raises ``_Refused``."""
        line = self._first_line()
        try:
            first = check(line)
        except BadRequest as bad:
            self._link.refused(bad.error)
            raise _Refused(bad.answer) from None
        if not first.token:
            raise self._refused(
                first,
                NotAuthenticated(
                    "this server requires authentication: send `hello` with a token first (--token-file "
                    "FILE, $GPUBENCH_TOKEN, or token=...)"
                ),
            )
        return first

    def _first_line(self) -> bytes:
        """Raises ``_Refused``, and ``ClientGone`` for a client that says nothing in time."""
        until = time.monotonic() + self._limits.authentication_seconds
        line_until = math.inf
        while (line := self._next_line()) is None:
            if self._lines.waiting:
                line_until = min(line_until, time.monotonic() + self._limits.line_deadline_seconds)
            self._await_input(min(until, line_until))
            now = time.monotonic()
            if now >= line_until:
                raise self._broken(incomplete(self._limits.line_deadline_seconds))
            if now >= until:
                raise ClientGone
            self._read()
        return line

    def _next_line(self) -> bytes | None:
        """A complete line that is not empty."""
        try:
            while self._lines.waiting and (line := self._lines.next_line()) is not None:
                if line.strip():
                    return line
        except LineTooLong as error:
            raise self._broken(error) from None
        if self._input_ended:
            raise ClientGone
        return None

    def _await_input(self, until: float) -> None:
        """Raises ``_Refused`` if the gateway ends first."""
        poll = select.poll()
        poll.register(self._client, select.POLLIN)
        poll.register(self._link.fileno(), select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000 + 1):
            if descriptor == self._link.fileno():
                raise _Refused(error_line(None, draining()))

    def _read(self) -> None:
        try:
            chunk = self._client.recv(PIECE_BYTES)
        except NOT_NOW:
            return
        if chunk:
            self._lines.feed(chunk)
        else:
            self._input_ended = True
            self._lines.end()
        self._check_protocol()

    def _check_protocol(self) -> None:
        answer = answer_on_line_port(self._lines.peek(RECOGNISED_BYTES), _HTTP)
        if answer is not None:
            raise _Refused(answer)

    def _connect(self, hello: CheckedRequest) -> socket.socket:
        """A connection on which the server knows the client; raises ``_Refused``."""
        try:
            principal = self._verify(hello.token)
        except NotAuthenticated as error:  # which the parent has logged
            raise _Refused(refusal(hello.request, error)) from None
        except GpubenchError as error:
            raise self._refused(hello, error) from None
        self._token = hello.token
        try:
            return self._core.connect(hello.token, principal)
        except NotForGateways as error:
            self._link.note(NOT_FOR_GATEWAYS, error.message)
            raise _Refused(refusal(hello.request, error)) from None
        except GpubenchError as error:
            raise self._refused(hello, error) from None

    def _verify(self, token: str) -> str:
        """Ask the parent whose token it is; a wrong one is answered as late as every other wrong one.

        Raises ``NotAuthenticated``.
        """
        begun = time.monotonic()
        try:
            return self._link.verify(token)
        except NotAuthenticated:
            delay_seconds = self._limits.authentication_delay_seconds
            time.sleep(max(0.0, begun + delay_seconds - time.monotonic()))
            raise

    # From then on.

    def _checked(self, line: bytes) -> bytes:
        """A line for the server; raises ``BadRequest``."""
        checked = check(line)
        if checked.token and not hmac.compare_digest(checked.token.encode(), self._token.encode()):
            error = InvalidParameters(
                "a client of this gateway shows one token, in its first request; to show another, connect "
                "again",
                path="$.params.token",
            )
            raise BadRequest(error, refusal(checked.request, error))
        return checked.line

    # The end.

    def _refused(self, request: CheckedRequest, error: GpubenchError) -> _Refused:
        self._link.refused(error)
        return _Refused(refusal(request.request, error))

    def _broken(self, error: GpubenchError) -> _Refused:
        self._link.refused(error)
        return _Refused(error_line(None, error))

    def _send_last(self, answer: bytes | None) -> None:
        self._client.settimeout(self._limits.linger_seconds)
        if answer:
            self._client.sendall(answer)

    def _end(self) -> None:
        end_output(self._client)
        discard_input(self._client, self._limits.linger_seconds)
