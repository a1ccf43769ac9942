"""Encodes the lines that the server sends: responses, errors and notifications, each with its newline."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench import typed
from gpubench.errors import GpubenchError, StoreError
from gpubench.protocol.messages import ErrorBody, Notification, Request, Response
from gpubench.results.document import ErrorInfo

RequestId = int | str | None

_encoder = msgspec.json.Encoder()


def raw(value: Any) -> msgspec.Raw:
    """A value encoded once, to be part of several lines."""
    return msgspec.Raw(_encoder.encode(value))


def result_line(request_id: RequestId, result: msgspec.Raw) -> bytes:
    return _encoder.encode(Response(id=request_id, jsonrpc="2.0", result=result)) + b"\n"


def error_line(request_id: RequestId, error: GpubenchError) -> bytes:
    body = error_body(error)
    try:
        return raw_error_line(request_id, body)
    except (TypeError, UnicodeEncodeError):  # details that have no place in JSON: the rest is an answer too
        data = {"kind": error.kind, "retryable": error.retryable}
        return raw_error_line(request_id, ErrorBody(error.code, error.message, data))


def error_body(error: GpubenchError) -> ErrorBody:
    return ErrorBody(
        error.code, error.message, {"kind": error.kind, "retryable": error.retryable, **error.details}
    )


def refusal(request: Request, error: GpubenchError) -> bytes | None:
    """The response; notifications get none, except those that forgot the id of a run."""
    if request.id is msgspec.UNSET:
        return error_line(None, error) if request.method == "run" else None
    return error_line(request.id, error)


def raw_error_line(request_id: RequestId, body: ErrorBody) -> bytes:
    return _encoder.encode(Response(id=request_id, jsonrpc="2.0", error=body)) + b"\n"


def id_of(line: bytes) -> RequestId:
    """The id of a line that is not a valid request, if it has one: the client expects it in the response."""
    try:
        return typed.decode(line, _OnlyId).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class _OnlyId(msgspec.Struct):
    id: int | str | None = None


def notification_line(method: str, params: msgspec.Struct) -> bytes:
    return _encoder.encode(Notification(method=method, jsonrpc="2.0", params=raw(params))) + b"\n"


def run_line(
    request_id: RequestId, data: bytes, *, fetches: bool, unstored: StoreError | None = None
) -> bytes:
    """The response to a request for a run: its document, or an error that contains the document.

    ``data`` is the encoded document; ``unstored`` is why it could not be stored, if it was not. A request
    that ``fetches`` gets the document of a failed run as a result.
    """
    document, error = msgspec.Raw(data), typed.decode(data, _Outcome).error
    if unstored is not None:
        error = ErrorInfo(
            unstored.kind,
            unstored.code,
            f"the run has ended, but {unstored.message}; the document is kept in memory until it is stored",
            False,
        )
    elif error is None or fetches:
        return result_line(request_id, document)
    details = {"kind": error.kind, "retryable": error.retryable, "document": document}
    return raw_error_line(request_id, ErrorBody(error.code, error.message, details))


class _Outcome(msgspec.Struct):
    """The only field of a stored document that decides which kind of response it becomes."""

    error: ErrorInfo | None = None
