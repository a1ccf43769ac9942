"""Which runs a store keeps."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from gpubench.results.timestamps import text_of

_RUNS_AT_ONCE = 100
"""Removed in one transaction: documents can be large, and others wait for it."""

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Retention:
    """The newest ``runs`` are kept, as long as they ended at most ``seconds`` ago.

    A run with a key is kept for ``key_seconds`` after its end in any case: until then a client may ask for
    it with the key, and must not get a second run. The defaults keep what fits on any disk: a run document
    takes from some kB to a MB.
    """

    runs: int = 100_000
    seconds: float = 3650 * DAY_SECONDS
    key_seconds: float = 7 * DAY_SECONDS


# In the order in which runs were stored: an imported run is as new as its import. End times are compared as
# text, which sorts by time in the format of documents; a damaged one does not count as old.
_REMOVABLE = """
    SELECT sequence FROM runs
    WHERE finished = 1
        AND run_id NOT IN (SELECT run_id FROM last_runs)
        AND NOT (key IS NOT NULL AND finished_at >= :keyed_since)
        AND (
            sequence <= (SELECT sequence FROM runs ORDER BY sequence DESC LIMIT 1 OFFSET :runs)
            OR (finished_at < :since AND finished_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-*')
        )
    ORDER BY sequence LIMIT :at_once
"""


def remove_runs(database: sqlite3.Connection, retention: Retention, now: datetime) -> int:
    """Remove some of the runs that need not be kept, oldest first; returns how many, 0 if none is left."""
    wanted = {
        "keyed_since": _before(now, retention.key_seconds),
        "runs": retention.runs,
        "since": _before(now, retention.seconds),
        "at_once": _RUNS_AT_ONCE,
    }
    found = database.execute(_REMOVABLE, wanted).fetchall()
    database.executemany("DELETE FROM figures WHERE run = ?", found)
    database.executemany("DELETE FROM runs WHERE sequence = ?", found)
    if found:
        database.execute(
            "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM figures WHERE figures.series = series.series)"
        )
        database.execute(
            "DELETE FROM subjects "
            "WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.subject = subjects.subject)"
        )
    return len(found)


def _before(now: datetime, seconds: float) -> str:
    """The timestamp of so long ago."""
    return text_of(now - timedelta(seconds=seconds))
