"""Runs that have not ended: what is kept of those that wait, and what becomes of all of them at a start.

A run that waits has a row in ``waiting`` from its acceptance until it starts. A detached one is executed by
the next server, because nobody may be there to ask again. A run that has started is never started again: if
it was the run that ended the server, it would do so at each start.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import NamedTuple

import msgspec

from gpubench.errors import DocumentError, Interrupted
from gpubench.results.document import ErrorInfo, RunDocument, decode_document, encode_document
from gpubench.results.rows import read_document, write_end
from gpubench.results.timestamps import now

log = logging.getLogger(__name__)


class Terms(NamedTuple):
    """How a run that waits is to be executed; ``text`` is the server's own JSON."""

    detached: bool
    text: bytes


class WaitingRun(NamedTuple):
    """A detached run that a server accepted and did not start."""

    document: RunDocument
    terms: bytes


def write_terms(database: sqlite3.Connection, run_id: str, terms: Terms) -> None:
    database.execute("INSERT INTO waiting VALUES (?, ?, ?)", (run_id, terms.detached, terms.text))


def detach(database: sqlite3.Connection, run_id: str) -> None:
    """Of a run that has started this changes nothing."""
    database.execute("UPDATE waiting SET detached = 1 WHERE run_id = ?", (run_id,))


def start(database: sqlite3.Connection, run_id: str) -> None:
    """From now on the run is not executed by a later server."""
    database.execute("DELETE FROM waiting WHERE run_id = ?", (run_id,))


def read_waiting(database: sqlite3.Connection) -> list[WaitingRun]:
    """In the order in which they were accepted; call ``end_interrupted`` before."""
    rows = database.execute(
        "SELECT run_id, CAST(terms AS BLOB) FROM runs JOIN waiting USING (run_id) "
        "WHERE finished = 0 AND detached = 1 ORDER BY sequence"
    ).fetchall()
    found = []
    for run_id, terms in rows:
        data = read_document(database, run_id, finished=False)
        found.append(WaitingRun(decode_document(data or b"", f"run {run_id}"), terms))
    return found


def end_interrupted(database: sqlite3.Connection) -> None:
    """End what was active when the last process died, and keep its measurements; detached runs wait on."""
    rows = database.execute(
        "SELECT run_id, waiting.detached FROM runs LEFT JOIN waiting USING (run_id) WHERE finished = 0"
    ).fetchall()
    for run_id, detached in rows:
        try:
            data = read_document(database, run_id, finished=False)
            document = decode_document(data or b"", f"run {run_id}")
        except DocumentError as unreadable:  # kept as it is; the others are still processed
            log.warning("interrupted by the end of its server, and kept unchanged: %s", unreadable)
            database.execute(
                "UPDATE runs SET finished = 1, outcome = 'failed', key = NULL WHERE run_id = ?", (run_id,)
            )
            start(database, run_id)
            continue
        if detached != 1:
            _end(database, document, waited=detached is not None)


def _end(database: sqlite3.Connection, document: RunDocument, waited: bool) -> None:
    if waited:
        error = Interrupted("the server stopped before this run had started, and its client was gone with it")
    else:
        count = len(document.measurements)
        error = Interrupted(
            f"the server stopped in the middle of this run, which has {count} finished "
            f"measurement{'s' if count != 1 else ''}: run it again"
        )
    ended = msgspec.structs.replace(document, outcome="failed", error=ErrorInfo.of(error), finished_at=now())
    write_end(database, ended, encode_document(ended))
