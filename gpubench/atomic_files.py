"""Writes files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

_MAX_LINKS = 40
"""Symbolic links after each other; the kernel's own limit."""


def write_file(path: Path, data: bytes, *, flushes: bool = True, new_mode: int | None = None) -> None:
    """Write ``data`` to ``path``; whoever opens it sees all of the old contents or all of the new.

    The data go to a new file in the same folder, are flushed to the disk, and take the place of ``path``
    in one step. An existing file's permissions are kept; a new file gets those that ``open`` would give
    it. A symbolic link stays, and the file that it leads to is replaced. Several writers do not disturb
    each other: the last one wins. If anything fails, ``path`` is as it was and nothing is left beside it.
    Without ``flushes`` the data are not flushed, and a crash of the machine may lose them. A new file has the
    permissions ``new_mode``, if they are given.

    What is not a regular file, such as a pipe or a device, is not replaced but written in place, without
    this guarantee. So is an open file's own name, such as /dev/stdout.

    Raises ``OSError``.
    """
    target = replaced_by(path)
    if target is None:
        with path.open("wb") as file:
            file.write(data)
        return
    # Not named after `target`, whose name may already be as long as names may be.
    aside = target.with_name(f".gpubench-{secrets.token_hex(8)}")
    try:
        with aside.open("xb") as file:
            mode = new_mode
            with contextlib.suppress(FileNotFoundError):
                mode = stat.S_IMODE(target.stat().st_mode)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if flushes:
                os.fsync(file.fileno())
        aside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def replaced_by(path: Path) -> Path | None:
    """The name at which ``write_file`` puts a new file; None if it writes ``path`` in place.

    It is ``path`` without symbolic links at its end. Raises ``OSError``.
    """
    target = path
    for _ in range(_MAX_LINKS):
        try:
            mode = target.lstat().st_mode
        except FileNotFoundError:
            return target
        if not stat.S_ISLNK(mode):
            return target if stat.S_ISREG(mode) else None
        if target.parent.resolve().is_relative_to("/proc"):
            return None  # the link of an open file: whoever opened it must find the data in it
        target = target.parent / target.readlink()
    return None  # opening it says what is wrong
