"""The store: every run as one JSON document in SQLite, committed before a client hears of it.

A run is recorded when it is accepted, checkpointed at each finished measurement, and finished before
its result is sent. WAL with ``synchronous=FULL``: what was committed survives ``kill -9`` and a power
cut. One connection behind a lock: a commit takes milliseconds and there are few writers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from gpubench.errors import DocumentError, Interrupted, KeyConflict, StoreError
from gpubench.results.database import hold, open_database
from gpubench.results.document import ErrorInfo, RunDocument, decode_document, encode_document
from gpubench.results.run_state import RunState
from gpubench.results.timestamps import now

log = logging.getLogger(__name__)

FILE_NAME = "gpubench.sqlite3"


@dataclass(frozen=True)
class Known:
    """A run that a key belongs to."""

    run_id: str
    finished: bool


class Store:
    """The runs of one data directory; safe to use from any thread.

    Opening it locks the directory for this process and ends the runs that an earlier process left
    unfinished. ``wait_seconds`` is how long another process may keep it locked meanwhile. Raises
    ``StoreError`` with the reason if the directory cannot be used.
    """

    def __init__(self, directory: Path, *, wait_seconds: float = 0.0) -> None:
        self._path = directory / FILE_NAME
        self._mutex = threading.Lock()
        self._unstored: dict[str, RunDocument] = {}
        """Finished runs that could not be stored; every use of the store tries again."""
        self._held = hold(directory, wait_seconds)
        try:
            with self._explained("; if it is damaged, move it away, or pass another --data-dir"):
                self._database = open_database(self._path)
            self._end_interrupted()
        except BaseException:
            os.close(self._held)
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._mutex:
            self._store_late()
            if self._unstored:
                log.error("not stored, and lost with this process: runs %s", ", ".join(self._unstored))
            self._database.close()
            os.close(self._held)

    def accept(self, document: RunDocument, request: str, device: str, benchmarks: list[str]) -> None:
        """Record a run before its client receives ``accepted``."""
        names = msgspec.json.encode(benchmarks).decode()
        with self._transaction() as database:
            database.execute(
                "INSERT INTO runs (run_id, key, request, device, benchmarks, created_at, document) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    document.run_id,
                    document.key,
                    request,
                    device,
                    names,
                    document.created_at,
                    encode_document(document),
                ),
            )

    def checkpoint(self, document: RunDocument) -> None:
        """Keep what a running run has so far."""
        with self._transaction() as database:
            database.execute(
                "UPDATE runs SET document = ? WHERE run_id = ? AND finished = 0",
                (encode_document(document), document.run_id),
            )

    def finish(self, document: RunDocument) -> bytes:
        """Store a finished run and return its JSON; only then may it be sent.

        If that fails, the run is kept in memory until it can be stored.
        """
        data = encode_document(document)
        try:
            with self._transaction() as database:
                _finish(database, document, data)
        except StoreError:
            with self._mutex:
                self._unstored[document.run_id] = document
            raise
        return data

    def find_key(self, key: str, request: str) -> Known | None:
        """The run of this key; raises ``KeyConflict`` if it belongs to another request."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT run_id, finished, request FROM runs WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        run_id, finished, known_request = row
        if known_request != request:
            raise KeyConflict(
                f"the key {key!r} belongs to run {run_id}, which asked for something else: "
                "use a new key for a new request",
                run_id=run_id,
            )
        return Known(run_id, bool(finished))

    def document(self, run_id: str) -> bytes | None:
        """A finished run's JSON."""
        with self._transaction() as database:
            if run_id in self._unstored:
                return encode_document(self._unstored[run_id])
            row = database.execute(
                "SELECT CAST(document AS BLOB) FROM runs WHERE run_id = ? AND finished = 1", (run_id,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def latest(self, limit: int, device: str | None = None) -> list[RunState]:
        """The newest runs, newest first; an unfinished one is listed as running."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT run_id, finished, outcome, device, created_at, finished_at, benchmarks FROM runs "
                "WHERE :device IS NULL OR device = :device ORDER BY sequence DESC LIMIT :limit",
                {"device": device, "limit": limit},
            ).fetchall()
            unstored = dict(self._unstored)
        states = [
            RunState(
                run_id=run_id,
                state="finished" if finished else "running",
                outcome=outcome,
                device=of,
                created_at=created_at,
                finished_at=finished_at,
                benchmarks=msgspec.json.decode(benchmarks, type=list[str]),
            )
            for run_id, finished, outcome, of, created_at, finished_at, benchmarks in rows
        ]
        return [_as_ended(state, unstored.get(state.run_id)) for state in states]

    def recent_documents(self, limit: int) -> Iterator[RunDocument]:
        """The newest finished runs, oldest of them first, one at a time: documents can be large.

        A document that cannot be read (damaged, or of a newer program) is logged and left out.
        """
        with self._transaction() as database:
            rows = database.execute(
                "SELECT run_id FROM runs WHERE finished = 1 ORDER BY sequence DESC LIMIT ?", (limit,)
            ).fetchall()
        for (run_id,) in reversed(rows):
            data = self.document(run_id)
            if data is None:
                continue
            try:
                document = decode_document(data, f"run {run_id}")
            except DocumentError as unreadable:
                log.warning("left out: %s", unreadable)
                continue
            yield document

    def _end_interrupted(self) -> None:
        """End the runs that were active when the last process died; their measurements are kept."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT run_id, CAST(document AS BLOB) FROM runs WHERE finished = 0"
            ).fetchall()
            for run_id, data in rows:
                try:
                    document = decode_document(bytes(data), f"run {run_id}")
                except DocumentError as unreadable:  # kept as it is; the others are still processed
                    log.warning("ended with its server, and kept as it is: %s", unreadable)
                    database.execute(
                        "UPDATE runs SET finished = 1, outcome = 'failed', key = NULL WHERE run_id = ?",
                        (run_id,),
                    )
                    continue
                error = Interrupted(
                    f"the server stopped in the middle of this run; {len(document.measurements)} "
                    "measurements were finished and are kept: run it again"
                )
                ended = msgspec.structs.replace(
                    document, outcome="failed", error=ErrorInfo.of(error), finished_at=now()
                )
                _finish(database, ended, encode_document(ended))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._explained():
            self._store_late()
            with self._database as database:
                yield database

    def _store_late(self) -> None:
        """Try again to store the runs that could not be stored when they ended."""
        if not self._unstored:
            return
        with contextlib.suppress(sqlite3.Error):
            with self._database as database:
                for document in self._unstored.values():
                    _finish(database, document, encode_document(document))
            log.info("stored by now: %s", ", ".join(self._unstored))
            self._unstored.clear()

    @contextlib.contextmanager
    def _explained(self, remedy: str = "") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StoreError(f"the store {self._path} cannot be used: {error}{remedy}") from error


def _as_ended(state: RunState, document: RunDocument | None) -> RunState:
    """The state of a run whose end is not stored yet."""
    if document is None:
        return state
    ended = document.finished_at
    return msgspec.structs.replace(state, state="finished", outcome=document.outcome, finished_at=ended)


def _finish(database: sqlite3.Connection, document: RunDocument, data: bytes) -> None:
    # A key is released if the error is retryable, so that the retry makes a new run.
    released = document.error is not None and document.error.retryable
    database.execute(
        "UPDATE runs SET finished = 1, document = ?, outcome = ?, finished_at = ?, "
        "key = CASE WHEN ? THEN NULL ELSE key END WHERE run_id = ?",
        (data, document.outcome, document.finished_at, released, document.run_id),
    )
