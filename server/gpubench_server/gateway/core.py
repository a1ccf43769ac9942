"""The server behind the gateway: connections to its Unix socket, each with the token of one client."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpubench import typed
from gpubench.errors import (
    InternalError,
    InvalidParameters,
    NotAuthenticated,
    UnknownMethod,
    Unreachable,
    from_wire,
)
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import ErrorBody, Hello, HelloParams, NoParams, Request

_ANSWER_SECONDS = 10.0
"""For the server to answer `hello`: it needs milliseconds, or tens of them for a token that is new to it."""

_NO_METHOD = "gateway-probe"

_MAX_ANSWER_BYTES = 1 << 20
"""The longest answer to `hello`, which has the limits and the ids of devices."""


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None


class NotForGateways(InternalError):
    """The server treats the gateway as an ordinary local client, with rights that no token gives."""


class _Ended(Unreachable):
    """The server closed the connection instead of answering."""


@dataclass(frozen=True)
class Core:
    """``path`` is its Unix socket."""

    path: Path

    def connect(self, token: str, principal: str) -> socket.socket:
        """A connection on which the server knows the owner of this token.

        Raises what the server answers otherwise, ``Unreachable``, and ``NotForGateways``.
        """
        # Each time: the server may have been started, or started again with other options, after the gateway.
        # What it answers to `hello` does not show it, because a token makes its owner of every client.
        try:
            self.probe()
        except InvalidParameters as error:
            raise NotForGateways(error.message) from None
        core = self._open()
        try:
            found = _ask(core, "hello", HelloParams(client="gpubench-gateway", token=token))
            known_as = typed.decode(found, Hello).principal
            if known_as != principal:
                raise NotForGateways(self._mistaken(f"{known_as or 'nobody'}, and not for {principal}"))
        except BaseException:
            core.close()
            raise
        return core

    def probe(self) -> None:
        """Raises ``InvalidParameters`` if the server does not ask this user for a token, and the
        ``GpubenchError`` with which it answers, or ``Unreachable``."""
        with contextlib.closing(self._open()) as core:
            # The server disconnects a client that it does not know at its first error, whatever that is. It
            # logs and counts requests without a token as attempts to get in, but not unknown methods.
            with contextlib.suppress(UnknownMethod):
                _ask(core, _NO_METHOD, NoParams())
            try:
                found = _ask(core, "hello", HelloParams(client="gpubench-gateway"))
            except (_Ended, NotAuthenticated):
                return
        known_as = typed.decode(found, Hello).principal
        raise InvalidParameters(
            self._mistaken(f"{known_as}, so every client of this gateway would have the rights of that user")
        )

    def _mistaken(self, whom: str) -> str:
        return (
            f"the server at unix://{self.path} takes this connection for {whom}; start it with "
            f"--gateway-user {os.geteuid()} and with --tokens FILE"
        )

    def _open(self) -> socket.socket:
        core = socket.socket(socket.AF_UNIX)
        core.settimeout(_ANSWER_SECONDS)
        try:
            core.connect(str(self.path))
        except OSError as error:
            core.close()
            raise Unreachable(
                f"the server behind this gateway does not answer ({error.strerror or error}); try again in a "
                "moment",
                retry_after_seconds=1,
            ) from None
        return core


def _ask(core: socket.socket, method: str, params: msgspec.Struct) -> msgspec.Raw:
    """The result of a request on a connection on which no other waits for its answer."""
    request = Request(method=method, jsonrpc="2.0", id=0, params=msgspec.Raw(msgspec.json.encode(params)))
    lines = LineBuffer(_MAX_ANSWER_BYTES)
    line: bytes | None = None
    try:
        core.sendall(msgspec.json.encode(request) + b"\n")
        while line is None:
            chunk = core.recv(65_536)
            if not chunk:
                raise ConnectionError("it closed the connection")
            lines.feed(chunk)
            line = lines.next_line()
    except OSError as error:
        kind = _Ended if isinstance(error, ConnectionError) else Unreachable
        raise kind(
            f"the server behind this gateway did not answer ({error}); try again in a moment",
            retry_after_seconds=1,
        ) from None
    answer = typed.decode(line, _Answer)
    if answer.error is not None:
        raise from_wire(answer.error.code, answer.error.message, answer.error.data)
    if answer.result is msgspec.UNSET:
        raise InternalError("the server behind this gateway sent something that is no answer")
    return answer.result
