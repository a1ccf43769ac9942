"""Files that the command line reads; one that cannot be read is a usage error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gpubench.errors import CatalogError, InvalidDocument, InvalidParameters, UnsupportedDocument
from gpubench.report.subject import Subject
from gpubench.results.document import RunDocument
from gpubench.results.kept import KeptDocument, read_kept

STREAM = "-"
"""Names standard input where a file is read, and standard output where one is written."""


def read_kept_documents(name: str) -> list[KeptDocument]:
    """The run documents of a file: JSON, gzip, or a report in HTML; from standard input for ``-``."""
    source = "standard input" if name == STREAM else name
    try:
        return read_kept(read_bytes(name), source)
    except OSError as error:
        raise InvalidParameters(f"{source} cannot be read: {error.strerror}") from None
    except InvalidDocument as error:
        raise InvalidParameters(f"{error.message}; `gpubench run --out FILE` writes one") from None
    except UnsupportedDocument as error:
        raise InvalidParameters(error.message, **error.details) from None


def read_subject(names: Sequence[str], references: bool | None, boards: Sequence[str]) -> Subject:
    """What a report is about: the runs of these files and folders, and boards of the catalogue."""
    kept = [each for name in names for file in _files(name) for each in read_kept_documents(file)]
    try:
        return Subject.with_boards(kept, references, boards)
    except CatalogError as error:
        raise CatalogError(f"--board: {error.message}", **error.details) from None


def read_documents(name: str) -> list[RunDocument]:
    """The run documents of a folder, its ``*.json``, by name; or those of a file."""
    return [each.document for file in _files(name) for each in read_kept_documents(file)]


def _files(name: str) -> list[str]:
    """The file itself, or the ``*.json`` of a folder, by name."""
    try:
        is_folder = name != STREAM and Path(name).is_dir()
    except OSError as error:
        raise InvalidParameters(f"{name} cannot be read: {error.strerror}") from None
    if not is_folder:
        return [name]
    found = [str(path) for path in sorted(Path(name).glob("*.json"))]
    if not found:
        raise InvalidParameters(f"{name} has no *.json in it; `gpubench run --out {name}/1.json` writes one")
    return found


def read_bytes(name: str, limit_bytes: int = -1) -> bytes:
    """A file's contents, or standard input's for ``-``; at most ``limit_bytes``. Raises ``OSError``."""
    if name == STREAM:
        return sys.stdin.buffer.read(limit_bytes)
    with Path(name).open("rb") as file:
        return file.read(limit_bytes)
