"""Whether a database is damaged, looked at before anything is written into it."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from gpubench.errors import StoreError
from gpubench.results.database import BUSY_SECONDS

log = logging.getLogger(__name__)

MAX_CHECKED_BYTES = 1 << 30
"""A larger database is not checked: reading it would keep a server from starting for too long."""

_COPY = ".damaged"


def damage(path: Path) -> str | None:
    """What is wrong with the structure of a database that nobody has open; None if nothing was found.

    If something is, a copy is made beside it first, once, because what is written later could make it worse.
    Raises ``StoreError`` if there can be no copy, and ``sqlite3.Error`` for a file that is no database.
    """
    log_path = path.with_name(f"{path.name}-wal")
    size = sum(each.stat().st_size for each in (path, log_path) if each.exists())
    if not path.exists() or not path.stat().st_size:
        return None
    if size > MAX_CHECKED_BYTES:
        log.info("%s is not checked for damage: it has more than %d MiB", path, MAX_CHECKED_BYTES >> 20)
        return None
    with closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    ) as file:
        found = [str(line) for (line,) in file.execute("PRAGMA quick_check(3)")]
    if found == ["ok"]:
        return None
    reason = "; ".join(" ".join(line.split()) for line in found)
    copy = _copied(path, log_path)
    log.error(
        "the store %s is damaged: %s. What can be read is served; a copy as it was found is %s. To save the "
        "rest, stop the server and run: sqlite3 %s .recover",
        *(path, reason, copy, copy),
    )
    return reason


def _copied(path: Path, log_path: Path) -> Path:
    copy = path.with_name(path.name + _COPY)
    if copy.exists():
        return copy
    # The log first: the database without it would look complete.
    pairs = [(log_path, copy.with_name(f"{copy.name}-wal"))] if log_path.exists() else []
    try:
        for source, target in [*pairs, (path, copy)]:
            shutil.copy2(source, target)
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise StoreError(
            f"the store {path} is damaged, and no copy can be made of it before it is used: "
            f"{error.strerror}; make room beside it, or pass another --data-dir"
        ) from None
    return copy
