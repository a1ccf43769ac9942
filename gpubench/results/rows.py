"""Rows of the store's tables, written and read; nothing that is read is believed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gpubench import typed
from gpubench.errors import InvalidDocument
from gpubench.results.document import RunDocument
from gpubench.results.history import write_figures
from gpubench.results.run_state import RunState

log = logging.getLogger(__name__)

INSERT = (
    "INSERT INTO runs (run_id, key, request, device, benchmarks, created_at, document) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)

STATE_COLUMNS = "run_id, finished, outcome, device, created_at, finished_at, benchmarks"


class LastOf(NamedTuple):
    """A series of the metrics of which a run is now the last, or the last with a valid figure."""

    device: str
    benchmark: str
    precision: str
    valid: bool


def read_document(database: sqlite3.Connection, run_id: str, *, finished: bool) -> bytes | None:
    """A run's document as it is stored; None if there is no such run.

    Raises ``InvalidDocument`` if the database is damaged at this place.
    """
    try:
        row = database.execute(
            "SELECT CAST(document AS BLOB) FROM runs WHERE run_id = ? AND finished = ?", (run_id, finished)
        ).fetchone()
    except sqlite3.OperationalError:
        raise  # the whole store is unusable, not just this row
    except sqlite3.DatabaseError as damaged:
        raise InvalidDocument(f"run {run_id} cannot be read from the store: {damaged}") from None
    return None if row is None else bytes(row[0])


def run_state(row: tuple[Any, ...]) -> RunState | None:
    """The ``STATE_COLUMNS`` of a run; None, with a line in the log, if they are damaged."""
    run_id, finished, outcome, device, created_at, finished_at, benchmarks = row
    fields = {
        "run_id": run_id,
        "state": "finished" if finished else "running",
        "outcome": outcome,
        "device": device,
        "created_at": created_at,
        "finished_at": finished_at,
    }
    try:
        fields["benchmarks"] = typed.decode(benchmarks, list[str])
        return typed.convert(fields, RunState)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError) as damaged:
        log.warning("left out: the row of run %s is damaged: %s", run_id, damaged)
        return None


def write_end(
    database: sqlite3.Connection, document: RunDocument, data: bytes, last_of: Sequence[LastOf] = ()
) -> None:
    """Make a run finished, with its document and figures, and the last of these series."""
    # A key is released if the error is retryable, so that the retry makes a new run.
    released = document.error is not None and document.error.retryable
    database.execute(
        "UPDATE runs SET finished = 1, document = ?, outcome = ?, finished_at = ?, "
        "key = CASE WHEN ? THEN NULL ELSE key END WHERE run_id = ?",
        (data, document.outcome, document.finished_at, released, document.run_id),
    )
    database.execute("DELETE FROM waiting WHERE run_id = ?", (document.run_id,))
    write_figures(database, document)
    database.executemany(
        "INSERT OR REPLACE INTO last_runs (device, benchmark, precision, valid, run_id) "
        "VALUES (?, ?, ?, ?, ?)",
        [(*series, document.run_id) for series in last_of],
    )
