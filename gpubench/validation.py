"""Plain data from outside into typed structs, with errors that a person can act on.

msgspec names an unknown field but not the allowed ones; they are added here, for requests and for the
parameters of benchmarks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from gpubench import typed
from gpubench.errors import InvalidParameters
from gpubench.text import clipped, encodable, not_text, places_of_no_text

Struct = TypeVar("Struct", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)")


@dataclass(frozen=True)
class Range:
    """The numbers that are allowed, both ends included, and their unit."""

    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        return f"from {self.low:.12g} to {self.high:.12g} {self.unit}"


def check_range(name: str, value: float, allowed: Range) -> None:
    """Raises ``InvalidParameters``, which names the range and its unit; NaN is in no range."""
    if not allowed.low <= value <= allowed.high:
        raise InvalidParameters(f"{name} must be {allowed}, not {value:g}")


def convert(data: Any, struct: type[Struct], at: str) -> Struct:
    """Plain data as ``struct``; raises ``InvalidParameters`` naming the field below ``at``."""
    try:
        return typed.convert(data, struct)
    except msgspec.ValidationError as error:
        message, path = split_error(error)
        unknown = _UNKNOWN.search(message)
        allowed = _allowed(struct, f"{path}._" if unknown else path)  # no field is called `_`
        if unknown:
            name = clipped(unknown["name"])
            message = f"unknown field {name!r}"
            path += f".{name}" if name.isidentifier() else f"[{name!r}]"
        hint = f"; allowed: {', '.join(map(str, allowed))}" if allowed else ""
        details: dict[str, Any] = {"allowed": allowed} if allowed else {}
        raise InvalidParameters(f"{message} at {at}{path}{hint}", path=f"{at}{path}", **details) from None


def check_text(data: Any, at: str) -> None:
    """Raises ``InvalidParameters`` naming the first field below ``at`` whose text cannot be encoded.

    Of what comes over the wire, all can: this is for requests made in Python, and so from arguments.
    """
    for path, text in places_of_no_text(data, at):
        raise InvalidParameters(f"{encodable(text)} is not text: {not_text(text)} at {path}", path=path)


def split_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """The message of an error, and the path in it, which begins after ``$``.

    msgspec repeats a wrong value in its message, however long it is; here that is clipped.
    """
    text = str(error)
    found = _AT.search(text)
    return (clipped(text[: found.start()], 200), found["path"]) if found else (clipped(text, 200), "")


def _allowed(struct: type[msgspec.Struct], path: str) -> list[Any]:
    """What is allowed at ``path`` below ``struct``: field names for an unknown field, or values."""
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
    """An annotation and all annotations nested in it: ``X | None``, ``list[X | str]``, ``Annotated``."""
    return [annotation, *(found for inner in get_args(annotation) for found in _within(inner))]


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
