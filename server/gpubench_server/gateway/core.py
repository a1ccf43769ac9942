"""The server behind the gateway: connections to its Unix socket, each with the token of one client."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpubench.errors import GpubenchError, InternalError, InvalidParameters, Unreachable, from_wire
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import ErrorBody, Hello, HelloParams, NoParams, Request

_ANSWER_SECONDS = 10.0
"""For the server to answer `hello`: it needs milliseconds, or tens of them for a token that is new to it."""

_MAX_ANSWER_BYTES = 1 << 20
"""The longest answer to `hello`, which has the limits and the ids of devices."""


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None


class NotForGateways(InternalError):
    """The server treats the gateway as an ordinary local client, with rights that no token gives."""


@dataclass(frozen=True)
class Core:
    """``path`` is its Unix socket."""

    path: Path

    def connect(self, token: str, principal: str) -> socket.socket:
        """A connection on which the server knows the owner of this token.

        Raises what the server answers otherwise, ``Unreachable``, and ``NotForGateways``.
        """
        core = self._open()
        try:
            found = _ask(core, "hello", HelloParams(client="gpubench-gateway", token=token))
            known_as = msgspec.json.decode(found, type=Hello).principal
            if known_as != principal:
                raise NotForGateways(
                    f"the server at unix://{self.path} takes this connection for {known_as or 'nobody'}, not "
                    f"for {principal}: start it with --gateway-user {os.geteuid()} and --tokens FILE"
                )
        except BaseException:
            core.close()
            raise
        return core

    def probe(self) -> None:
        """Raises ``InvalidParameters`` if the server does not ask this user for a token, and the
        ``GpubenchError`` with which it answers, or ``Unreachable``."""
        with contextlib.closing(self._open()) as core:
            try:
                _ask(core, "ping", NoParams())
            except GpubenchError as error:
                if error.kind == "not_authenticated":
                    return
                raise
        raise InvalidParameters(
            f"the server at unix://{self.path} serves user {os.geteuid()} without a token, so every "
            "client of this gateway would have that user's rights; start the server with --gateway-user "
            f"{os.geteuid()} and with --tokens FILE"
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
    """The result of the first request on a connection."""
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
        raise Unreachable(
            f"the server behind this gateway did not answer ({error}); try again in a moment",
            retry_after_seconds=1,
        ) from None
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.error is not None:
        raise from_wire(answer.error.code, answer.error.message, answer.error.data)
    if answer.result is msgspec.UNSET:
        raise InternalError("the server behind this gateway sent something that is no answer")
    return answer.result
