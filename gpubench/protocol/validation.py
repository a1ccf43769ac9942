"""Untrusted JSON into typed structs, with errors that a person can act on.

msgspec raises four different exceptions for bad input, and names an unknown field but not the
allowed ones; both are put right here, for the wire and for the parameters of benchmarks.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from gpubench.errors import InvalidParameters, InvalidRequest, ParseError
from gpubench.protocol.messages import Request

Struct = TypeVar("Struct", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")


def decode_request(line: bytes) -> Request:
    """One line as a request.

    Raises ``ParseError`` where it is no JSON (NaN is none), ``InvalidRequest`` where it is JSON
    and no JSON-RPC 2.0 request. Inside ``params`` only ``decode_params`` looks.
    """
    try:
        return msgspec.json.decode(line, type=Request)
    except msgspec.ValidationError as error:
        # A wrong field may stand before broken text, and broken text is the worse of the two.
        if isinstance(_parse(line), list):
            raise InvalidRequest("batches are not taken: send one request per line") from None
        message, path = _split(error)
        raise InvalidRequest(
            f"not a JSON-RPC 2.0 request: {message} at ${path}; "
            'allowed: {"jsonrpc": "2.0", "id": ..., "method": ..., "params": {...}}',
            path=f"${path}",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _parse_error(error) from None


def decode_params(raw: msgspec.Raw | msgspec.UnsetType, struct: type[Struct]) -> Struct:
    """The parameters of a request as ``struct``.

    Raises ``ParseError``, and ``InvalidParameters`` with the path of the wrong field.
    """
    return convert({} if raw is msgspec.UNSET else _parse(raw), struct, "$.params")


def _parse(text: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _parse_error(error) from None


def _parse_error(error: Exception) -> ParseError:
    """All that msgspec raises for text that is no JSON."""
    if isinstance(error, UnicodeDecodeError):
        return ParseError(f"the line is not UTF-8: {error.reason} at byte {error.start}")
    if isinstance(error, RecursionError):
        return ParseError("the line nests too deeply to be read")
    return ParseError(f"the line is not JSON: {error}; send one JSON object per line")


def convert(data: Any, struct: type[Struct], at: str) -> Struct:
    """Plain data as ``struct``; raises ``InvalidParameters`` naming the field below ``at``."""
    try:
        return msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        message, path = _split(error)
        unknown = _UNKNOWN.search(message)
        allowed = _allowed(struct, f"{path}._" if unknown else path)  # no field is called `_`
        if unknown:
            name = unknown["name"]
            message = f"unknown field {name!r}"
            path += f".{name}" if name.isidentifier() else f"[{name!r}]"
        hint = f"; allowed: {', '.join(map(str, allowed))}" if allowed else ""
        details = {"allowed": allowed} if allowed else {}
        raise InvalidParameters(f"{message} at {at}{path}{hint}", path=f"{at}{path}", **details) from None


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """The words of an error and the path in it, which begins after ``$``."""
    text = str(error)
    found = _AT.search(text)
    return (text[: found.start()], found["path"]) if found else (text, "")


def _allowed(struct: type[msgspec.Struct], path: str) -> list[Any]:
    """What may stand at ``path`` below ``struct``: field names for an unknown field, or values."""
    here = struct
    annotation: Any = struct
    for name in re.findall(r"\.([A-Za-z_]\w*)", path):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(here)}
        if name not in fields:
            return list(fields)
        annotation = fields[name]
        here = next((t for t in _within(annotation) if _is_struct(t)), here)
    literals = [t for t in _within(annotation) if get_origin(t) is Literal]
    return [value for literal in literals for value in get_args(literal)]


def _within(annotation: Any) -> list[Any]:
    """An annotation and all that stand inside it: ``X | None``, ``list[X | str]``, ``Annotated``."""
    return [annotation, *(found for inner in get_args(annotation) for found in _within(inner))]


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
