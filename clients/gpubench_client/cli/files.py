"""Files that the command line reads; one that cannot be read is a usage error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gpubench.errors import CatalogError, InvalidDocument, InvalidParameters, UnsupportedDocument
from gpubench.report.subject import Subject
from gpubench.results.document import RunDocument
from gpubench.results.kept import KeptDocument, read_kept
from gpubench.text import as_utf8

STREAM = "-"
"""Names standard input where a file is read, and standard output where one is written."""

T = TypeVar("T")


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
    kept = _all_kept(names)
    try:
        return Subject.with_boards(kept, references, boards)
    except CatalogError as error:
        raise CatalogError(f"--board: {error.message}", **error.details) from None


def read_documents(names: Sequence[str]) -> list[RunDocument]:
    """The run documents of these files and folders."""
    return [each.document for each in _all_kept(names)]


def _all_kept(names: Sequence[str]) -> list[KeptDocument]:
    return [each for name in names for file in document_files(name) for each in read_kept_documents(file)]


def document_files(name: str) -> list[str]:
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


def parse_file(option: str, name: str, most_bytes: int, parse: Callable[[str], T]) -> T:
    """What ``parse`` makes of the text file that ``option`` names.

    Raises ``InvalidParameters``, which names the option and the file.
    """
    try:
        data = read_bytes(name, most_bytes + 1)
        if len(data) > most_bytes:
            raise InvalidParameters(f"it is larger than {most_bytes >> 20} MiB")
        return parse(as_utf8(data).decode())
    except OSError as error:
        raise InvalidParameters(f"{option}: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidParameters(
            f"{option}: {name}: not {error.encoding.upper()} at byte {error.start}"
        ) from None
    except InvalidParameters as error:
        raise InvalidParameters(f"{option}: {name}: {error.message}", **error.details) from None
