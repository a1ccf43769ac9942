"""The tables of the data directory's database, and the migration of older tables."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gpubench.errors import DocumentError, StoreError
from gpubench.results.document import decode_document
from gpubench.results.history import write_figures
from gpubench.results.rows import read_document

log = logging.getLogger(__name__)

_MIGRATIONS = (
    """
    CREATE TABLE runs (
        sequence    INTEGER PRIMARY KEY,
        run_id      TEXT NOT NULL UNIQUE,
        key         TEXT UNIQUE,              -- null if there is none, or once it is released
        request     TEXT NOT NULL,            -- in canonical form, to tell a retry from a different request
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
    CREATE TABLE last_runs (                  -- runs that provide the metrics of a restarted server
        device      TEXT NOT NULL,
        benchmark   TEXT NOT NULL,
        precision   TEXT NOT NULL,
        valid       INTEGER NOT NULL,         -- 1: the last run with a valid figure; 0: the last run
        run_id      TEXT NOT NULL,
        PRIMARY KEY (device, benchmark, precision, valid)
    );
    """,
    """
    CREATE TABLE subjects (                   -- a benchmark on one device of one machine
        subject         INTEGER PRIMARY KEY,
        host            TEXT NOT NULL,
        hardware_id     TEXT NOT NULL,
        device          TEXT NOT NULL,
        name            TEXT NOT NULL,
        benchmark       TEXT NOT NULL,
        alias           TEXT NOT NULL,
        UNIQUE (host, hardware_id, device, name, benchmark)
    );
    CREATE TABLE series (                     -- a subject with given settings and kernels
        series          INTEGER PRIMARY KEY,
        subject         INTEGER NOT NULL,
        settings        TEXT NOT NULL,        -- JSON; equal settings give equal text
        UNIQUE (subject, settings)
    );
    CREATE TABLE figures (                    -- the usable figures of finished runs
        id              INTEGER PRIMARY KEY,
        series          INTEGER NOT NULL,
        subject         INTEGER NOT NULL,
        at              INTEGER NOT NULL,     -- ms since 1970
        run             INTEGER NOT NULL,     -- runs.sequence
        median          REAL NOT NULL,
        low             REAL NOT NULL,
        high            REAL NOT NULL,
        flags           TEXT NOT NULL,
        program_version TEXT,
        driver          TEXT
    );
    CREATE INDEX figures_by_time ON figures (at);
    CREATE INDEX figures_by_subject ON figures (subject, at);
    CREATE INDEX figures_by_series ON figures (series);
    CREATE INDEX figures_by_run ON figures (run);
    CREATE INDEX runs_by_end ON runs (finished_at);
    """,
    """
    CREATE TABLE waiting (                    -- runs that were accepted and have not started
        run_id      TEXT PRIMARY KEY,
        detached    INTEGER NOT NULL,         -- 1: a later server takes it up; 0: it ends with its server
        terms       BLOB NOT NULL             -- what the server needs for that, as JSON of its own
    );
    """,
)
"""Step n takes a database from ``user_version`` n to n + 1; steps are never changed, only added."""

_WITH_FIGURES = 3
"""The first version whose tables have the figures of runs; the step to it reads those of the older runs."""


BUSY_SECONDS = 5.0
"""How long another program may keep the database locked before a use of it fails."""


def open_database(path: Path) -> sqlite3.Connection:
    """Raises ``StoreError`` if a newer program wrote it, and ``sqlite3.Error``."""
    # autocommit is off: every use is inside a `with connection`, which commits or rolls back.
    with _connected(path) as database:
        version = _version(database)
        if version > len(_MIGRATIONS):
            raise StoreError(
                f"the store {path} was written by a newer gpubench (version {version} of its tables, this "
                f"program knows {len(_MIGRATIONS)}): upgrade gpubench, or pass another --data-dir"
            )
        if not version:
            # Only before the first table is made. It lets the space of pruned runs be freed in steps.
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        _migrate(database, version)
    return database


def open_reader(path: Path) -> sqlite3.Connection:
    """A second connection to a database that is open; raises ``sqlite3.Error``."""
    with _connected(path) as database:
        database.execute("PRAGMA query_only = ON")
        _version(database)  # opens the files now: later, a path may lead to another one
    return database


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that stays open, unless its preparation fails."""
    database = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_SECONDS)
    try:
        database.text_factory = _text
        yield database
    except BaseException:
        database.close()
        raise


def _text(data: bytes) -> str:
    """One damaged text must not make the rows read with it unreadable."""
    return data.decode(errors="replace")


def _migrate(database: sqlite3.Connection, version: int) -> None:
    for step, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN; {script}")
        if step == _WITH_FIGURES:
            _read_figures(database)
        database.execute(f"PRAGMA user_version = {step}")
        database.commit()


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _read_figures(database: sqlite3.Connection) -> None:
    runs = database.execute("SELECT run_id FROM runs WHERE finished = 1 ORDER BY sequence").fetchall()
    for (run_id,) in runs:
        try:
            data = read_document(database, run_id, finished=True)
            if data is not None:
                write_figures(database, decode_document(data, f"run {run_id}"))
        except DocumentError as unreadable:
            log.warning("left out of the history: %s", unreadable)
