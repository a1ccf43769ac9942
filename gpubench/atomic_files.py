"""Writes files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; whoever opens it sees all of the old contents or all of the new.

    The data go to a new file in the same folder, are flushed to the disk, and take the place of ``path``
    in one step. An existing file's permissions are kept; a new file gets those that ``open`` would give
    it. Several writers do not disturb each other: the last one wins. If anything fails, ``path`` is as it
    was and nothing is left beside it.

    What is not a regular file is not replaced but written in place, without this guarantee: a pipe or a
    device, and a symbolic link, such as /dev/stdout, whose target is written.

    Raises ``OSError``.
    """
    if not replaces(path):
        with path.open("wb") as file:
            file.write(data)
        return
    # Not named after `path`, whose name may already be as long as names may be.
    aside = path.with_name(f".gpubench-{secrets.token_hex(8)}")
    try:
        with aside.open("xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def replaces(path: Path) -> bool:
    """Whether ``write_file`` puts a new file in the place of ``path``; else it writes in place."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True
