"""Text from outside: bytes that are not UTF-8, byte order marks, and how both are shown.

Python reads such bytes of arguments, names and paths as lone surrogates, which nothing can encode: a
document that has one cannot be written. So they are refused where text comes in (``not_text``), and made
visible where only a person reads it (``encodable``), as in the message of an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_BYTE = 0xDC00
"""Python's ``surrogateescape`` adds it to a byte, which is at least 0x80."""


def encodable(text: str) -> str:
    """``text`` with a byte that is not UTF-8 written as ``\\xff``, another surrogate as ``\\ud800``."""
    return _SURROGATE.sub(lambda found: _shown(found[0]), text)


def clipped(text: str, most: int = 60) -> str:
    """The beginning of a text that is too long to be repeated in a message."""
    return text if len(text) <= most else f"{text[:most]}..."


def not_text(text: str) -> str | None:
    """What in ``text`` cannot be encoded, such as ``byte 0xff is not UTF-8``; None if all of it can."""
    found = _SURROGATE.search(text)
    if found is None:
        return None
    number = ord(found[0]) - _FIRST_BYTE
    return (
        f"byte 0x{number:02x} is not UTF-8"
        if 0x80 <= number <= 0xFF
        else f"{_shown(found[0])} is no character"
    )


def places_of_no_text(data: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where in plain JSON data a string or a name cannot be encoded: its path, and the string."""
    if isinstance(data, str):
        if not_text(data):
            yield path, data
    elif isinstance(data, dict):
        for name, value in data.items():
            if isinstance(name, str) and not_text(name):
                yield f"{path}[{encodable(name)!r}]", name
            else:
                yield from places_of_no_text(value, f"{path}.{name}")
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from places_of_no_text(value, f"{path}[{index}]")


def as_utf8(data: bytes) -> bytes:
    """A text file's contents as UTF-8 without a byte order mark; UTF-16 and UTF-32 are converted.

    Editors and shells of Windows write these. Without a mark they are recognised by the zero bytes of their
    first character, which JSON and TOML have in ASCII. Raises ``UnicodeDecodeError`` for UTF-16 and UTF-32
    that is damaged; UTF-8 is not checked.
    """
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return data
    return data.decode(encoding).removeprefix("\ufeff").encode("utf-8", "surrogatepass")


def _shown(surrogate: str) -> str:
    number = ord(surrogate) - _FIRST_BYTE
    return f"\\x{number:02x}" if 0x80 <= number <= 0xFF else f"\\u{ord(surrogate):04x}"
