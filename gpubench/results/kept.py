"""Run documents as they were kept: with the bytes that identify them, from a file, an archive or a report."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import msgspec

from gpubench.errors import InvalidDocument
from gpubench.results.document import RunDocument, decode_document, encode_document

MAX_BYTES = 1 << 28
"""The most that one packed document is unpacked to: a few bytes can claim to be gigabytes."""

EMBEDDED = "data:application/gzip;base64,"
"""The beginning of the address by which a report carries a document."""

_EXACT = 2**53
"""Below it every whole number is a float of its own."""

_GZIP = b"\x1f\x8b"
_REPORT_BEGINS = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class KeptDocument:
    """A run document and the JSON that it was read from.

    ``sha256`` is hexadecimal, the same for every layout of the same JSON and under every version of the
    program. ``printed`` is the one that a report states for it, if it is from a report.
    """

    document: RunDocument
    data: bytes
    sha256: str
    name: str
    printed: str | None = None

    @classmethod
    def of(cls, document: RunDocument) -> KeptDocument:
        """A document that is in memory, as it would be written."""
        data = encode_document(document)
        return cls(document, data, digest(data), f"run {document.run_id}")


def digest(data: bytes) -> str:
    """The SHA-256 of a document's canonical JSON."""
    return hashlib.sha256(canonical_json(data)).hexdigest()


def canonical_json(data: bytes) -> bytes:
    """JSON with sorted keys and without spaces, UTF-8, as Python's ``json`` writes it; 5.0 is written as 5.

    It is made from the data and not from what this program reads of them, so that a field that only a newer
    program knows is covered too.
    """
    try:
        fields = msgspec.json.decode(data)  # faster than json, which takes a little more than JSON
    except msgspec.MsgspecError:
        fields = json.loads(data)
    holder = [fields]
    _drop_fractions(holder)
    return json.dumps(holder[0], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _drop_fractions(part: dict[str, Any] | list[Any]) -> None:
    """Put 5 in place of each 5.0, which programs that read and write a document again may write.

    In place, and by exact types: a document has tens of thousands of numbers.
    """
    if type(part) is list:
        try:
            # Most of a document are lists of samples: floats alone, and with fractions.
            if not any(map(float.is_integer, part)):
                return
        except TypeError:  # something else is in it
            pass
    places: Iterable[tuple[Any, Any]] = part.items() if isinstance(part, dict) else enumerate(part)
    for place, value in places:
        kind = type(value)
        if kind is float:
            if value.is_integer() and -_EXACT < value < _EXACT:
                part[place] = int(value)  # of a key that is there already: no dictionary changes its size
        elif kind is dict or kind is list:
            _drop_fractions(value)


def pack(kept: KeptDocument) -> str:
    """The address by which a report carries a document: its JSON as it was, packed."""
    packed = gzip.compress(kept.data, mtime=0)
    return EMBEDDED + base64.b64encode(packed).decode("ascii")


def read_kept(data: bytes, name: str) -> list[KeptDocument]:
    """The document of a JSON file, packed by gzip or not, or the documents of a report in HTML.

    Raises ``InvalidDocument`` and ``UnsupportedDocument``, which call it ``name``.
    """
    if data.lstrip()[:20].lower().startswith(_REPORT_BEGINS):
        return _of_report(data, name)
    return [_kept(_unpacked(data, name), name)]


def _kept(data: bytes, name: str, printed: str | None = None) -> KeptDocument:
    document = decode_document(data, name)
    try:
        return KeptDocument(document, data, digest(data), name, printed)
    except (ValueError, RecursionError) as error:  # JSON that only the second parser rejects
        raise InvalidDocument(f"{name} is not a run document: {error}") from None


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            found = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidDocument(f"{name} is damaged: {error}") from None
    if len(found) > MAX_BYTES:
        raise InvalidDocument(f"{name} is not a run document: it unpacks to more than {MAX_BYTES >> 20} MiB")
    return found


def _of_report(data: bytes, name: str) -> list[KeptDocument]:
    links = _Links()
    links.feed(data.decode(errors="replace"))
    if not links.found:
        raise InvalidDocument(
            f"{name} is a page without run documents in it; a report of a few runs carries them"
        )
    found = []
    for number, (address, printed) in enumerate(links.found, 1):
        place = f"{name}, document {number}"
        try:
            packed = base64.b64decode(address.removeprefix(EMBEDDED), validate=True)
        except binascii.Error as error:
            raise InvalidDocument(f"{place} is damaged: {error}") from None
        found.append(_kept(_unpacked(packed, place), place, printed))
    return found


class _Links(HTMLParser):
    """The addresses of a page's documents, each with the SHA-256 beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        address = named.get("href") or ""
        if tag == "a" and address.startswith(EMBEDDED):
            self.found.append((address, named.get("data-sha256")))
