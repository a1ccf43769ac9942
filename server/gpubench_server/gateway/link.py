"""The messages between a child and its parent, over a socket pair of their own.

The child sends its client's token, and reports why it refused something; the parent answers whose token it
is. The parent does not trust the child: messages are small and typed, and which host a child serves, the
parent knows by itself.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Annotated

import msgspec
from msgspec import Meta

from gpubench import typed
from gpubench.errors import Draining, GpubenchError, InternalError, from_wire
from gpubench.protocol.messages import MAX_TOKEN, ErrorBody

_MAX_MESSAGE_BYTES = 4096
NOT_FOR_GATEWAYS = "not_for_gateways"
"""The kind of a refusal: the server behind the gateway would trust it too far."""

_MAX_TEXT = 500

_ANSWER_SECONDS = 10.0
"""For the parent's answer, which takes milliseconds, or as long as scrypt for some others."""

Text = Annotated[str, Meta(max_length=_MAX_TEXT)]


class Shown(msgspec.Struct, frozen=True, tag=True):
    token: Annotated[str, Meta(max_length=MAX_TOKEN)]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The child refused its client, or a request."""

    kind: Annotated[str, Meta(max_length=60)]
    message: Text


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The child ends because of its own mistake, or because the server is not set up for a gateway."""

    why: Text


Message = Shown | Refused | Failed


class Verdict(msgspec.Struct, frozen=True):
    """Whose token it is, or why it is not valid."""

    principal: str = ""
    error: ErrorBody | None = None


def pair() -> tuple[socket.socket, socket.socket]:
    """The parent's end, which never blocks, and the child's. Raises ``OSError``."""
    parents, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parents.setblocking(False)
    return parents, childs


def received(parents: socket.socket) -> Message | None:
    """The next message of a child; None if it has ended.

    Raises ``OSError`` if there is none yet, and ``msgspec.MsgspecError``, ``UnicodeDecodeError`` or
    ``RecursionError`` for what no honest child sends.
    """
    data = parents.recv(_MAX_MESSAGE_BYTES)
    return typed.decode(data, Message) if data else None


def answer(parents: socket.socket, verdict: Verdict) -> None:
    """Raises ``OSError`` if the child is gone, or does not read."""
    parents.send(msgspec.json.encode(verdict))


class Link:
    """The child's end. It ends when the gateway drains, and when the parent dies."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(_ANSWER_SECONDS)
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def verify(self, token: str) -> str:
        """Whose token it is; raises ``NotAuthenticated``, and ``Draining`` if the gateway ends."""
        try:
            self._end.send(msgspec.json.encode(Shown(token)))
            data = self._end.recv(_MAX_MESSAGE_BYTES)
        except TimeoutError:
            raise InternalError("the gateway did not check the token in time; try again") from None
        except OSError:
            data = b""
        if not data:
            raise draining()
        verdict = typed.decode(data, Verdict)
        if verdict.error is not None:
            raise from_wire(verdict.error.code, verdict.error.message, verdict.error.data)
        return verdict.principal

    def refused(self, error: GpubenchError) -> None:
        self.note(str(error.details.get("limit", error.kind)), error.message)

    def note(self, kind: str, message: str) -> None:
        """For what is refused without an error of ours."""
        self._tell(Refused(kind[:60], message[:_MAX_TEXT]))

    def failed(self, why: str) -> None:
        self._tell(Failed(why[:_MAX_TEXT]))

    def _tell(self, message: Message) -> None:
        # Not MSG_DONTWAIT: with a time-out, Python itself waits for room.
        self._end.setblocking(False)
        with contextlib.suppress(OSError):
            self._end.send(msgspec.json.encode(message))
        self._end.settimeout(_ANSWER_SECONDS)


def draining() -> Draining:
    return Draining("this gateway is being stopped; connect again in a moment", retry_after_seconds=1)
