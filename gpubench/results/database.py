"""The tables of the data directory's database, and the migration of older tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gpubench.errors import StoreError

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
    """
    CREATE TABLE last_runs (                  -- which runs the metrics of a restarted server come from
        device      TEXT NOT NULL,
        benchmark   TEXT NOT NULL,
        precision   TEXT NOT NULL,
        valid       INTEGER NOT NULL,         -- 1: the last run with a valid figure; 0: the last run
        run_id      TEXT NOT NULL,
        PRIMARY KEY (device, benchmark, precision, valid)
    );
    """,
)
"""Step n takes a database from ``user_version`` n to n + 1; steps are never changed, only added."""


def open_database(path: Path) -> sqlite3.Connection:
    """Raises ``StoreError`` if a newer program wrote it, and ``sqlite3.Error``."""
    # autocommit is off: every use is inside a `with connection`, which commits or rolls back.
    database = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        # One damaged text must not hide the rows that are read with it.
        database.text_factory = lambda data: data.decode(errors="replace")
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
