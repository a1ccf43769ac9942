"""The file of ``--out``: checked before minutes of measuring, written at the end, never lost."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic

from gpubench.atomic_files import replaced_by, write_file
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.report.formats import Format, What, format_of
from gpubench_client.cli.files import STREAM


def open_out(
    name: str | None, formats: Sequence[Format[What]], inputs: Iterable[str] = ()
) -> OutFile[What] | None:
    """The file to write, in that of ``formats`` which its ending asks for; None for standard output.

    Raises ``InvalidParameters`` if it could not be written, or is one of ``inputs``, the files (or ``-``)
    that the command reads.
    """
    if name in (None, STREAM):
        return None
    return OutFile(name, formats, inputs)


class OutFile(Generic[What]):
    """A file to be written at the end of a command, completely or not at all.

    Whatever prevents writing is reported when this is made.
    """

    def __init__(self, name: str, formats: Sequence[Format[What]], inputs: Iterable[str] = ()) -> None:
        self._path = Path(name)
        try:
            reason = self._why_not(inputs)
        except OSError as error:  # a name that is too long, a folder that may not be searched
            reason = error.strerror or str(error)
        if reason:
            raise InvalidParameters(f"--out: {name} cannot be written: {reason}")
        try:
            self._format = format_of(name, formats)
        except InvalidParameters as error:
            raise InvalidParameters(f"--out: {error.message}") from None

    def __str__(self) -> str:
        return str(self._path)

    def write(self, subject: What, last_resort: Callable[[bytes], None]) -> None:
        """If the disk is full, or the folder has been removed meanwhile, write a temporary file instead.

        If that fails too, ``last_resort`` is called with the contents. Either way ``GpubenchError`` is
        raised, which says where they are.
        """
        data = self._format.render(subject)
        try:
            write_file(self._path, data)
        except OSError as error:
            problem = f"{self} cannot be written: {error.strerror or error}"
            saved = _save(data, self._format)
            if saved is None:
                last_resort(data)
            raise GpubenchError(
                f"{problem}; it is {f'in {saved}' if saved else 'on stdout'} instead"
            ) from None

    def _why_not(self, inputs: Iterable[str]) -> str | None:
        target = self._path.resolve()  # what a link points to is what is written
        if target.is_dir():
            return "it is a folder"
        if not target.parent.is_dir():
            return f"there is no folder {target.parent}"
        same = next((name for name in inputs if _same_file(target, name)), None)
        if same is not None:
            known_as = "" if same == str(self) else f" as {same}"
            return f"it is the file that is read{known_as}; choose another name"
        needed = [target.parent] if replaced_by(self._path) else []
        if target.exists():
            needed.append(target)
        return None if all(os.access(each, os.W_OK) for each in needed) else "permission denied"


def write_in_place(name: str, data: bytes) -> None:
    """Overwrite a file that cannot be replaced by a new one: Kubernetes mounts that of a termination message.

    Raises ``OSError``.
    """
    Path(name).write_bytes(data)


def _same_file(target: Path, name: str) -> bool:
    """Whether a name, or ``-`` for standard input, leads to the same regular file."""
    try:
        written = target.stat()
        read = os.fstat(sys.stdin.fileno()) if name == STREAM else Path(name).stat()
    except (OSError, ValueError):  # what does not exist cannot be overwritten; a stream without a descriptor
        return False
    return stat.S_ISREG(written.st_mode) and os.path.samestat(written, read)


def _save(data: bytes, format_: Format[What]) -> Path | None:
    """A new temporary file with ``data``; None if none can be written."""
    try:
        descriptor, name = tempfile.mkstemp(suffix=format_.endings[0], prefix="gpubench-")
        os.close(descriptor)
        write_file(Path(name), data)
    except OSError:
        return None
    return Path(name)
