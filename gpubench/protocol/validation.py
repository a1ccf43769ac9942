"""Lines of untrusted JSON into requests; msgspec raises four different exceptions for bad ones."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench import typed
from gpubench.errors import InvalidRequest, ParseError, UnknownMethod
from gpubench.protocol.messages import PARAMETERS, Request
from gpubench.validation import Struct, convert, split_error


def decode_request(line: bytes) -> Request:
    """One line as a request.

    Raises ``ParseError`` if it is not JSON (NaN is not), ``InvalidRequest`` if it is JSON but not a
    JSON-RPC 2.0 request. ``params`` is checked by ``decode_params`` only.
    """
    try:
        return typed.decode(line, Request)
    except msgspec.ValidationError as error:
        # A wrong field may come before malformed text, which is the more serious error.
        if isinstance(_parse(line), list):
            raise InvalidRequest("batches are not supported: send one request per line") from None
        message, path = split_error(error)
        raise InvalidRequest(
            f"not a JSON-RPC 2.0 request: {message} at ${path}; "
            'allowed: {"jsonrpc": "2.0", "id": ..., "method": ..., "params": {...}}',
            path=f"${path}",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _parse_error(error) from None


def decode_params(raw: msgspec.Raw | msgspec.UnsetType, struct: type[Struct]) -> Struct:
    """The parameters of a request as ``struct``; none, null and an empty array are no parameters.

    Raises ``ParseError``, and ``InvalidParameters`` with the path of the wrong field.
    """
    params = None if raw is msgspec.UNSET else _parse(raw)
    return convert({} if params is None or params == [] else params, struct, "$.params")


def unknown_method(method: str) -> UnknownMethod:
    return UnknownMethod(
        f"unknown method {method[:60]!r}; allowed: {', '.join(PARAMETERS)}", allowed=list(PARAMETERS)
    )


def _parse(text: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _parse_error(error) from None


def _parse_error(error: Exception) -> ParseError:
    """A ``ParseError`` from any exception that msgspec raises for text that is not JSON."""
    if isinstance(error, UnicodeDecodeError):
        return ParseError(f"the line is not UTF-8: {error.reason} at byte {error.start}")
    if isinstance(error, RecursionError):
        return ParseError("the line nests too deeply to be read")
    return ParseError(f"the line is not JSON: {error}; send one JSON object per line")
