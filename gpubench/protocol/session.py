"""The client's side of the protocol, without I/O: requests into bytes, bytes into events.

The same session serves a blocking client and an asynchronous one: they differ only in how bytes are sent
and received, which is not done here. Every request ends with exactly one ``Result`` or ``Failure`` of its id;
a run is ``Accepted`` first and may report ``Progress``. A ``Failure`` without an id is about the
connection (too many of them, a line that could not be read), which the server then closes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from gpubench import typed
from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import (
    GpubenchError,
    InvalidDocument,
    InvalidParameters,
    ProtocolError,
    UnsupportedDocument,
    from_wire,
)
from gpubench.framing import LineBuffer
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.results.document import convert_document, decode_document
from gpubench.results.history import History
from gpubench.results.progress import Progress
from gpubench.validation import check_text

RESULTS: dict[messages.Method, type[msgspec.Struct]] = {
    "hello": messages.Hello,
    "ping": messages.Pong,
    "devices": messages.Devices,
    "benchmarks": Benchmarks,
    "run": RunDocument,
    "cancel": messages.Cancelling,
    "status": messages.Status,
    "result": RunDocument,
    "results": messages.Results,
    "history": History,
    "drain": messages.Draining,
}
"""Every method and its result; its parameters are in ``messages.PARAMETERS``."""


@dataclass(frozen=True)
class Result:
    """The answer, decoded as the method's type in ``RESULTS``."""

    request_id: int | None
    value: Any


@dataclass(frozen=True)
class Failure:
    """The answer is an error.

    A run's error has its ``document``, unless a newer program wrote it: then the message states that.
    """

    request_id: int | None
    error: GpubenchError


Event = messages.Accepted | Progress | Result | Failure
"""The two notifications are the structs of the protocol itself."""


class ClientSession:
    """One connection's requests and answers, with ids from ``first_id`` on.

    It cannot be used after an exception from ``feed``.
    """

    def __init__(self, first_id: int = 1) -> None:
        self._lines = LineBuffer(messages.MAX_RESPONSE_BYTES)
        self._ids = itertools.count(first_id)
        self._pending: dict[int | str | None, messages.Method] = {}

    def request(self, method: messages.Method, params: msgspec.Struct | None = None) -> tuple[int, bytes]:
        """The id of a new request and the bytes to send for it; raises ``InvalidParameters``."""
        check_text(msgspec.to_builtins(params), "$.params")
        request_id = next(self._ids)
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}
        line = msgspec.json.encode(message) + b"\n"
        if len(line) > messages.MAX_REQUEST_BYTES:
            raise InvalidParameters(
                f"the request is {len(line)} bytes long; allowed: {messages.MAX_REQUEST_BYTES}; "
                "ask for fewer benchmarks at once"
            )
        self._pending[request_id] = method
        return request_id, line

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, in order.

        Raises ``ProtocolError`` if they are not a gpubench server's messages, and ``UnsupportedDocument``
        for a result that a newer program wrote; an unknown but well-formed notification, as from a newer
        server, is ignored.
        """
        self._lines.feed(data)
        events: list[Event] = []
        while (line := self._lines.next_line()) is not None:
            try:
                event = self._event(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidDocument) as error:
                raise ProtocolError(
                    f"the peer sent data that cannot be read ({error}): {line[:60]!r}; "
                    "is it a gpubench server, and its benchmark port?"
                ) from None
            if event is not None:
                events.append(event)
        return events

    def _event(self, line: bytes) -> Event | None:
        message = typed.decode(line, _Message)
        if message.method is not None:
            return self._notification(message.method, message.params)
        if message.error is not None:
            return self._failure(message.id, message.error)
        if message.id not in self._pending or message.result is msgspec.UNSET:
            raise ProtocolError(f"the peer sent no answer to a request that was made: {line[:60]!r}")
        method = self._pending.pop(message.id)
        return Result(message.id, _decode(message.result, RESULTS[method]))

    def _notification(self, method: str, params: msgspec.Raw) -> Event | None:
        struct = _NOTIFICATIONS.get(method)
        if struct is None:
            return None
        notification = typed.decode(params, struct)
        # A run may end before its progress arrives.
        return notification if notification.request_id in self._pending else None

    def _failure(self, request_id: int | None, body: messages.ErrorBody) -> Failure:
        self._pending.pop(request_id, None)
        message, data = body.message, dict(body.data)
        if data.get("document") is not None:
            try:
                data["document"] = RunDocument.of(convert_document(data["document"], _DOCUMENT))
            except UnsupportedDocument as newer:  # the run's own error matters more
                del data["document"]
                message = f"{message}; {newer.message}"
        return Failure(request_id, from_wire(body.code, message, data))


def _decode(data: msgspec.Raw, struct: type[msgspec.Struct]) -> msgspec.Struct:
    if struct is RunDocument:
        return RunDocument.of(decode_document(data, _DOCUMENT))
    return typed.decode(data, struct)


_DOCUMENT = "the document from the server"

_NOTIFICATIONS: dict[str, type[messages.Accepted | Progress]] = {
    "accepted": messages.Accepted,
    "progress": Progress,
}


class _Message(msgspec.Struct, frozen=True):
    """Any message from a server; its fields show whether it is a response or a notification."""

    jsonrpc: Literal["2.0"]
    id: int | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: messages.ErrorBody | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
