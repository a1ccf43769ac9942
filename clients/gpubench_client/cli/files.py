"""Files that the command line reads; one that cannot be read is a usage error."""

from __future__ import annotations

import sys
from pathlib import Path

from gpubench.errors import InvalidDocument, InvalidParameters, UnsupportedDocument
from gpubench.results.document import RunDocument, decode_document

STREAM = "-"
"""Names standard input where a file is read, and standard output where one is written."""


def read_document(name: str) -> RunDocument:
    """A run document from a file, or from standard input for ``-``."""
    source = "standard input" if name == STREAM else name
    try:
        return decode_document(read_bytes(name), source)
    except OSError as error:
        raise InvalidParameters(f"{source} cannot be read: {error.strerror}") from None
    except InvalidDocument as error:
        raise InvalidParameters(f"{error.message}; `gpubench run --out FILE` writes one") from None
    except UnsupportedDocument as error:
        raise InvalidParameters(error.message, **error.details) from None


def read_documents(name: str) -> list[RunDocument]:
    """The run documents of a folder, its ``*.json``, by name; or the one of a file. Each must be readable."""
    try:
        is_folder = name != STREAM and Path(name).is_dir()
    except OSError as error:
        raise InvalidParameters(f"{name} cannot be read: {error.strerror}") from None
    if not is_folder:
        return [read_document(name)]
    found = [read_document(str(path)) for path in sorted(Path(name).glob("*.json"))]
    if not found:
        raise InvalidParameters(f"{name} has no *.json in it; `gpubench run --out {name}/1.json` writes one")
    return found


def read_bytes(name: str, limit_bytes: int = -1) -> bytes:
    """A file's contents, or standard input's for ``-``; at most ``limit_bytes``. Raises ``OSError``."""
    if name == STREAM:
        return sys.stdin.buffer.read(limit_bytes)
    with Path(name).open("rb") as file:
        return file.read(limit_bytes)
