"""The store: every run as one JSON document in SQLite, committed before a client hears of it.

A run is recorded when it is accepted, checkpointed at each finished measurement, and finished before
its result is sent. WAL with ``synchronous=FULL``: what was committed survives ``kill -9`` and a power
cut. One connection behind a lock: a commit takes milliseconds and there are few writers.

Nothing that is read back is believed: a damaged row is logged by its run's id and left out, and the others
are served. Nothing is acknowledged while the directory's path leads to something else than what is open.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec

from gpubench.errors import (
    DocumentError,
    Interrupted,
    InvalidDocument,
    KeyConflict,
    StoreError,
    UnsupportedDocument,
)
from gpubench.results.data_directory import HeldDirectory
from gpubench.results.database import open_database
from gpubench.results.document import ErrorInfo, RunDocument, decode_document, encode_document
from gpubench.results.history import History, HistoryQuery, read_history
from gpubench.results.retention import Retention, remove_runs
from gpubench.results.rows import INSERT, STATE_COLUMNS, LastOf, read_document, run_state, write_end
from gpubench.results.run_state import RunState
from gpubench.results.timestamps import now

log = logging.getLogger(__name__)

FILE_NAME = "gpubench.sqlite3"

_PAGES_AT_ONCE = 1000
"""4 MiB: some milliseconds."""


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
        self._unstored: dict[str, tuple[RunDocument, Sequence[LastOf]]] = {}
        """Finished runs that could not be stored; every use of the store tries again."""
        with contextlib.ExitStack() as undo:
            self._directory = undo.enter_context(HeldDirectory(directory, wait_seconds))
            with self._explained("; if it is damaged, move it away, or pass another --data-dir"):
                self._database = undo.enter_context(contextlib.closing(open_database(self._path)))
                self._end_interrupted()
            # The log too: if it is removed, what is committed to it is lost when the process ends.
            self._directory.watch(self._path, self._path.with_name(f"{FILE_NAME}-wal"))
            undo.pop_all()

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
            self._directory.close()

    def problem(self) -> str | None:
        """Why a run could not be stored now, tried with a row that is not kept; None if it could be."""
        try:
            with self._writing() as database:
                database.execute(INSERT, (secrets.token_hex(8), None, "", "", "[]", "", b""))
                database.rollback()
            self._directory.check_room()
        except StoreError as error:
            return error.message
        return None

    def accept(self, document: RunDocument, request: str, device: str, benchmarks: list[str]) -> None:
        """Record a run before its client receives ``accepted``."""
        names = msgspec.json.encode(benchmarks).decode()
        data = encode_document(document)
        with self._writing() as database:
            database.execute(
                INSERT,
                (document.run_id, document.key, request, device, names, document.created_at, data),
            )

    def checkpoint(self, document: RunDocument) -> None:
        """Keep what a running run has so far."""
        with self._writing() as database:
            database.execute(
                "UPDATE runs SET document = ? WHERE run_id = ? AND finished = 0",
                (encode_document(document), document.run_id),
            )

    def finish(self, document: RunDocument, last_of: Sequence[LastOf] = ()) -> bytes:
        """Store a finished run and return its JSON; only then may it be sent.

        If that fails, the run is kept in memory until it can be stored.
        """
        data = encode_document(document)
        try:
            with self._writing() as database:
                write_end(database, document, data, last_of)
        except BaseException:
            self.keep(document, last_of)
            raise
        return data

    def keep(self, document: RunDocument, last_of: Sequence[LastOf] = ()) -> None:
        """Keep a finished run in memory until it can be stored."""
        with self._mutex:
            self._unstored[document.run_id] = document, last_of

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
        """A finished run's JSON; None if there is no such run. That of a newer program is not looked into.

        Raises ``InvalidDocument`` if it is damaged. The run's key is released, so that a retry makes a new
        run; what is stored is kept as it is.
        """
        with self._transaction() as database:
            if run_id in self._unstored:
                return encode_document(self._unstored[run_id][0])
            try:
                data = read_document(database, run_id, finished=True)
                if data is not None:
                    decode_document(data, f"run {run_id}")
            except UnsupportedDocument:
                pass
            except InvalidDocument as damaged:
                log.warning("not served: %s", damaged)
                with contextlib.suppress(sqlite3.Error), database:
                    database.execute("UPDATE runs SET key = NULL WHERE run_id = ?", (run_id,))
                raise InvalidDocument(
                    f"{damaged}: it is damaged in the server's store, run the benchmarks again"
                ) from None
            return data

    def latest(self, limit: int, device: str | None = None) -> list[RunState]:
        """The newest runs, newest first; an unfinished one is listed as running."""
        with self._transaction() as database:
            rows = database.execute(
                f"SELECT {STATE_COLUMNS} FROM runs "  # noqa: S608, a constant
                "WHERE :device IS NULL OR device = :device ORDER BY sequence DESC LIMIT :limit",
                {"device": device, "limit": limit},
            ).fetchall()
            unstored = dict(self._unstored)
        states = [state for state in map(run_state, rows) if state is not None]
        return [_as_ended(state, unstored.get(state.run_id)) for state in states]

    def add(self, document: RunDocument) -> bool:
        """Store a run that was made elsewhere; false if there is one of its id already, which stays.

        Its key stays in the document, and does not stand for a request here.
        """
        device = document.device.id if document.device else "unknown"
        names = list(dict.fromkeys(each.benchmark for each in document.measurements))
        request = msgspec.json.encode(document.requested).decode()
        data, benchmarks = encode_document(document), msgspec.json.encode(names).decode()
        with self._writing() as database:
            if database.execute("SELECT 1 FROM runs WHERE run_id = ?", (document.run_id,)).fetchone():
                return False
            values = (document.run_id, None, request, device, benchmarks, document.created_at, data)
            database.execute(INSERT, values)
            write_end(database, document, data)
        return True

    def prune(self, retention: Retention, stopped: Callable[[], bool] = lambda: False) -> int:
        """Remove the finished runs that need not be kept, and give their room back; returns how many.

        In small steps, between which others may use the store, and ``stopped`` is asked. Those that the
        metrics of a restarted server come from are kept, and so are those with a key that a client may still
        ask with.
        """
        removed, step = 0, -1
        while step and not stopped():
            with self._writing() as database:
                step = remove_runs(database, retention, datetime.now(UTC))
            removed += step
        if removed:
            self._give_back(stopped)
        return removed

    def _give_back(self, stopped: Callable[[], bool]) -> None:
        """Shrink the file by its free pages; a file that an older program made only reuses them."""
        left, before = 0, -1
        while left != before and not stopped():
            with self._transaction() as database:
                before = left
                database.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
                (left,) = database.execute("PRAGMA freelist_count").fetchone()

    def history(self, query: HistoryQuery) -> History:
        """The newest figures of finished runs."""
        with self._transaction() as database:
            return read_history(database, query)

    def last_documents(self, limit: int) -> Iterator[RunDocument]:
        """The last run of each series of the metrics, and the last one with a valid figure, oldest first.

        Of a store that an older program wrote, which does not know them, the ``limit`` newest runs. They
        are read one at a time: documents can be large. One that cannot be read (damaged, or of a newer
        program) is logged and left out.
        """
        with self._transaction() as database:
            rows = database.execute(
                "SELECT DISTINCT run_id, sequence FROM last_runs JOIN runs USING (run_id) "
                "WHERE finished = 1 ORDER BY sequence"
            ).fetchall()
        yield from self._documents([run_id for run_id, _ in rows] if rows else self._newest(limit))

    def _newest(self, limit: int) -> list[str]:
        with self._transaction() as database:
            rows = database.execute(
                "SELECT run_id FROM runs WHERE finished = 1 ORDER BY sequence DESC LIMIT ?", (limit,)
            ).fetchall()
        return [run_id for (run_id,) in reversed(rows)]

    def _documents(self, run_ids: Sequence[str]) -> Iterator[RunDocument]:
        for run_id in run_ids:
            try:
                with self._transaction() as database:
                    data = read_document(database, run_id, finished=True)
                if data is not None:
                    yield decode_document(data, f"run {run_id}")
            except (DocumentError, StoreError) as unreadable:
                log.warning("left out: %s", unreadable)

    def _end_interrupted(self) -> None:
        """End the runs that were active when the last process died; their measurements are kept."""
        with self._transaction() as database:
            rows = database.execute("SELECT run_id FROM runs WHERE finished = 0").fetchall()
            for (run_id,) in rows:
                try:
                    data = read_document(database, run_id, finished=False)
                    document = decode_document(data or b"", f"run {run_id}")
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
                write_end(database, ended, encode_document(ended))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._explained():
            self._store_late()
            with self._database as database:
                yield database

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction whose result may be acknowledged."""
        with self._transaction() as database:
            self._directory.check()
            yield database

    def _store_late(self) -> None:
        """Try again to store the runs that could not be stored when they ended."""
        if not self._unstored:
            return
        with contextlib.suppress(sqlite3.Error, StoreError):
            self._directory.check()
            with self._database as database:
                for document, last_of in self._unstored.values():
                    write_end(database, document, encode_document(document), last_of)
            log.info("stored by now: %s", ", ".join(self._unstored))
            self._unstored.clear()

    @contextlib.contextmanager
    def _explained(self, remedy: str = "") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StoreError(f"the store {self._path} cannot be used: {error}{remedy}") from error


def _as_ended(state: RunState, unstored: tuple[RunDocument, Sequence[LastOf]] | None) -> RunState:
    """The state of a run whose end is not stored yet."""
    if unstored is None:
        return state
    document, _ = unstored
    ended = document.finished_at
    return msgspec.structs.replace(state, state="finished", outcome=document.outcome, finished_at=ended)
