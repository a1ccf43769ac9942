"""Every line of a client, checked as the server itself checks it, and written anew.

What goes on to the server is the encoder's text and not the client's, so its parser meets nothing unusual.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gpubench.errors import GpubenchError, LineTooLong
from gpubench.protocol.messages import MAX_REQUEST_BYTES, PARAMETERS, HelloParams, Request
from gpubench.protocol.validation import decode_params, decode_request, unknown_method
from gpubench_server.encode import error_line, id_of, refusal


class BadRequest(Exception):
    """A line that the server does not get; ``answer`` is for the client, None if it expects none."""

    def __init__(self, error: GpubenchError, answer: bytes | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.answer = answer


@dataclass(frozen=True)
class CheckedRequest:
    request: Request
    params: msgspec.Struct
    line: bytes
    """For the server, without a token."""

    @property
    def token(self) -> str:
        return (isinstance(self.params, HelloParams) and self.params.token) or ""


def check(line: bytes) -> CheckedRequest:
    """Raises ``BadRequest``."""
    request: Request | None = None
    try:
        request = decode_request(line)
        struct = PARAMETERS.get(request.method)
        if struct is None:
            raise unknown_method(request.method)
        params = decode_params(request.params, struct)
        return CheckedRequest(request, params, _line(request, params))
    except GpubenchError as error:
        if request is None:
            raise BadRequest(error, error_line(id_of(line), error)) from None
        raise BadRequest(error, refusal(request, error)) from None


def _line(request: Request, params: msgspec.Struct) -> bytes:
    if isinstance(params, HelloParams):
        params = msgspec.structs.replace(params, token=msgspec.UNSET)
    encoded = msgspec.Raw(msgspec.json.encode(params))
    line = msgspec.json.encode(msgspec.structs.replace(request, params=encoded)) + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        raise LineTooLong(
            f"the request is longer than {MAX_REQUEST_BYTES} bytes once it is written out; ask for fewer "
            "benchmarks at once",
            maximum_bytes=MAX_REQUEST_BYTES,
        )
    return line
