"""The data directory and the tables in it: locking, and migration of older tables."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from gpubench import systems
from gpubench.errors import StoreError

systems.require_linux()
import fcntl  # noqa: E402  (not elsewhere)

LOCK_NAME = "gpubench.lock"

_MIGRATIONS = (
    """
    CREATE TABLE runs (
        sequence    INTEGER PRIMARY KEY,
        run_id      TEXT NOT NULL UNIQUE,
        key         TEXT UNIQUE,              -- null where there is none, and once it is released
        request     TEXT NOT NULL,            -- what was asked, canonical: tells a retry from another request
        finished    INTEGER NOT NULL DEFAULT 0,
        outcome     TEXT,
        device      TEXT,
        benchmarks  TEXT NOT NULL,            -- JSON list of names
        created_at  TEXT NOT NULL,
        finished_at TEXT,
        document    BLOB NOT NULL
    );
    CREATE INDEX runs_by_device ON runs (device, sequence);
    CREATE INDEX runs_unfinished ON runs (finished) WHERE finished = 0;
    """,
)
"""Step n takes a database from ``user_version`` n to n + 1; steps are never changed, only added."""


def hold(directory: Path) -> int:
    """Lock the directory for this process; the lock ends with the process, however it ends.

    Raises ``StoreError`` if the directory cannot be used or another process has locked it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"the data directory {directory} cannot be used: {error.strerror}; "
            "pass another one with --data-dir"
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(held, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(held)
        raise StoreError(
            f"the data directory {directory} is in use by another server (process {owner}); "
            "stop that one, or pass another directory with --data-dir"
        ) from None
    with contextlib.suppress(OSError):  # on a full disk the process id of the owner is missing
        os.truncate(held, 0)
        os.write(held, f"{os.getpid()}\n".encode())
    return held


def open_database(path: Path) -> sqlite3.Connection:
    """Raises ``StoreError`` if a newer program wrote it, and ``sqlite3.Error``."""
    # autocommit is off: every use is inside a `with connection`, which commits or rolls back.
    database = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        _migrate(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise StoreError(
            f"the store {path} was written by a newer gpubench (version {version} of its tables, this "
            f"program knows {len(_MIGRATIONS)}): upgrade gpubench, or pass another --data-dir"
        )
    for step, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN; {script} PRAGMA user_version = {step}; COMMIT;")
