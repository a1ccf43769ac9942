"""Files that the command line reads and writes; one that cannot be is a usage error."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gpubench.atomic_files import replaces, write_file
from gpubench.errors import InvalidDocument, InvalidParameters, UnsupportedDocument
from gpubench.results.document import RunDocument, decode_document


def read_document(name: str) -> RunDocument:
    """A run document from a file, or from standard input for ``-``."""
    source = "standard input" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return decode_document(data, source)
    except OSError as error:
        raise InvalidParameters(f"{source} cannot be read: {error.strerror}") from None
    except InvalidDocument as error:
        raise InvalidParameters(f"{error.message}; `gpubench run --out FILE` writes one") from None
    except UnsupportedDocument as error:
        raise InvalidParameters(error.message, **error.details) from None


class OutFile:
    """A file to be written at the end of a run, completely or not at all.

    Whatever prevents writing is reported when this is made, before minutes of measuring.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name)
        try:
            reason = self._why_not()
        except OSError as error:  # a name that is too long, a folder that may not be searched
            reason = error.strerror or str(error)
        if reason:
            raise self._refused(reason)

    def _why_not(self) -> str | None:
        target = self._path.resolve()  # what a link points to is what is written
        if target.is_dir():
            return "it is a folder"
        if not target.parent.is_dir():
            return f"there is no folder {target.parent}"
        needed = [target.parent] if replaces(self._path) else []
        if target.exists():
            needed.append(target)
        return None if all(os.access(each, os.W_OK) for each in needed) else "permission denied"

    def __str__(self) -> str:
        return str(self._path)

    def write(self, data: bytes) -> None:
        """Raises ``InvalidParameters`` if the disk is full, or the folder has been removed meanwhile."""
        try:
            write_file(self._path, data)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None

    def _refused(self, reason: str) -> InvalidParameters:
        return InvalidParameters(f"{self._path} cannot be written: {reason}")


def out_file(name: str | None) -> OutFile | None:
    return OutFile(name) if name is not None else None
