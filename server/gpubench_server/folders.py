"""Whether a file can be made in a folder, found out before it is tried."""

from __future__ import annotations

import os
from pathlib import Path

from gpubench.errors import InvalidParameters


def check_folder(what: str, folder: Path, *, writes: bool = True) -> None:
    """Raises ``InvalidParameters`` if nothing can be made in a folder, with ``what`` as the file's name.

    Without ``writes`` another user is to write, and only whether the folder exists is checked.
    """
    if not folder.is_dir():
        reason = "is not a directory; choose another path" if folder.exists() else "does not exist; make it"
    elif writes and not os.access(folder, os.W_OK | os.X_OK):
        reason = "cannot be written by this user; change its owner or mode, or choose another path"
    else:
        return
    raise InvalidParameters(f"{what} cannot be used: {folder} {reason}")
