"""Files that the command line reads and writes; one that cannot be is a usage error."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

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


def read_documents(name: str) -> list[RunDocument]:
    """The run documents of a folder, its ``*.json``, by name; or the one of a file."""
    if not Path(name).is_dir():
        return [read_document(name)]
    found = [read_document(str(path)) for path in sorted(Path(name).glob("*.json"))]
    if not found:
        raise InvalidParameters(f"{name} has no *.json in it; `gpubench run --out {name}/1.json` writes one")
    return found


class OutFile:
    """A file that will be there whole or not at all.

    What stands in the way of writing is found when this is made, before minutes of measuring.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name)
        folder = self._path.parent
        if self._path.is_dir():
            raise self._refused("it is a folder")
        if not folder.is_dir():
            raise self._refused(f"there is no folder {folder}")
        if not os.access(self._path if self._path.exists() else folder, os.W_OK):
            raise self._refused("permission denied")

    def __str__(self) -> str:
        return str(self._path)

    def write(self, data: bytes) -> None:
        """Raises ``InvalidParameters`` where the disk is full, or was taken away meanwhile."""
        try:
            if self._path.exists() and not self._path.is_file():
                self._path.write_bytes(data)  # a pipe or a device: nothing may take its place
                return
            aside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self._path)
            finally:
                with contextlib.suppress(OSError):
                    aside.unlink()
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None

    def _refused(self, reason: str) -> InvalidParameters:
        return InvalidParameters(f"{self._path} cannot be written: {reason}")


def out_file(name: str | None) -> OutFile | None:
    return OutFile(name) if name is not None else None
