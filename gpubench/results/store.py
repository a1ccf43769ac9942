"""The store: every run as one JSON document in SQLite, committed before a client hears of it.

A run is recorded when it is accepted, checkpointed when its device is known and at each finished measurement,
and finished before its result is sent. WAL with ``synchronous=FULL``: what was committed survives ``kill -9``
and a power cut. One connection writes, another reads: who asks for results does not wait for who stores them.

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

from gpubench.errors import DocumentError, InvalidDocument, KeyConflict, StoreError, UnsupportedDocument
from gpubench.results import integrity, unfinished
from gpubench.results.connections import DAMAGED, Connections, explained
from gpubench.results.data_directory import HeldDirectory
from gpubench.results.database import BUSY_SECONDS
from gpubench.results.document import RunDocument, decode_document, encode_document
from gpubench.results.history import History, HistoryQuery, read_history
from gpubench.results.retention import Retention, remove_runs
from gpubench.results.rows import INSERT, STATE_COLUMNS, LastOf, read_document, run_state, write_end
from gpubench.results.run_state import RunState
from gpubench.results.unfinished import Terms, WaitingRun

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
    unfinished, except those that ``waiting`` returns. ``wait_seconds`` is how long another process may keep
    it locked meanwhile. With ``check``, ``damage`` says what is wrong with the file, if anything is. Raises
    ``StoreError`` with the reason if the directory cannot be used.
    """

    def __init__(self, directory: Path, *, wait_seconds: float = 0.0, check: bool = False) -> None:
        self._path = directory / FILE_NAME
        self._memory = threading.Lock()
        self._unstored: dict[str, tuple[RunDocument, Sequence[LastOf]]] = {}
        """Finished runs that could not be stored; every use of the store tries again."""
        self.damage: str | None = None
        with contextlib.ExitStack() as undo:
            self._directory = undo.enter_context(HeldDirectory(directory, wait_seconds))
            if check:
                with explained(self._path, DAMAGED):
                    self.damage = integrity.damage(self._path)
            self._connections = undo.enter_context(contextlib.closing(Connections(self._path)))
            with self._connections.writing() as database:
                unfinished.end_interrupted(database)
            # The log too: if it is removed, what is committed to it is lost when the process ends. And its
            # index: another program would make a new one, and neither would know what the other locks.
            beside = (self._path.with_name(f"{FILE_NAME}{end}") for end in ("-wal", "-shm"))
            self._directory.watch(self._path, *beside)
            undo.pop_all()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._store_late(BUSY_SECONDS)
        if self._unstored:
            log.error("not stored, and lost with this process: runs %s", ", ".join(self._unstored))
        self._connections.close()
        self._directory.close()

    def problem(self, wait_seconds: float = BUSY_SECONDS) -> str | None:
        """Why a run could not be stored now, tried with a row that is not kept; None if it could be."""
        try:
            with self._writing(wait_seconds) as database:
                database.execute(INSERT, (secrets.token_hex(8), None, "", "", "[]", "", b""))
                database.rollback()
            self._directory.check_room()
        except StoreError as error:
            return error.message
        return None

    def accept(
        self,
        document: RunDocument,
        request: str,
        device: str,
        benchmarks: list[str],
        terms: Terms | None = None,
    ) -> None:
        """Record a run before its client receives ``accepted``; with ``terms``, one that waits."""
        names = msgspec.json.encode(benchmarks).decode()
        data = encode_document(document)
        with self._writing() as database:
            database.execute(
                INSERT,
                (document.run_id, document.key, request, device, names, document.created_at, data),
            )
            if terms is not None:
                unfinished.write_terms(database, document.run_id, terms)

    def waiting(self) -> list[WaitingRun]:
        """The detached runs that were accepted and have not started, in this order."""
        with self._reading() as database:
            return unfinished.read_waiting(database)

    def detach(self, run_id: str) -> None:
        """A later process is to execute the run, if this one does not start it."""
        with self._writing() as database:
            unfinished.detach(database, run_id)

    def start(self, run_id: str) -> None:
        """The run starts now, and is never started again."""
        with self._writing() as database:
            unfinished.start(database, run_id)

    def checkpoint(self, document: RunDocument) -> None:
        """Keep what a running run has so far."""
        with self._writing() as database:
            database.execute(
                "UPDATE runs SET document = ? WHERE run_id = ? AND finished = 0",
                (encode_document(document), document.run_id),
            )
            unfinished.start(database, document.run_id)  # if that could not be stored when it started

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
        with self._memory:
            self._unstored[document.run_id] = document, last_of

    def find_key(self, key: str, request: str) -> Known | None:
        """The run of this key; raises ``KeyConflict`` if it belongs to another request."""
        with self._reading() as database:
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
        unstored = self._unstored.get(run_id)
        if unstored is not None:
            return encode_document(unstored[0])
        data = None
        try:
            with self._reading() as database:
                data = read_document(database, run_id, finished=True)
            if data is not None:
                decode_document(data, f"run {run_id}")
        except UnsupportedDocument:
            pass
        except InvalidDocument as damaged:
            log.warning("not served: %s", damaged)
            with contextlib.suppress(StoreError), self._connections.writing() as database:
                database.execute("UPDATE runs SET key = NULL WHERE run_id = ?", (run_id,))
            raise InvalidDocument(
                f"{damaged}: it is damaged in the server's store, run the benchmarks again"
            ) from None
        return data

    def latest(self, limit: int, device: str | None = None) -> list[RunState]:
        """The newest runs, newest first; an unfinished one is listed as running."""
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {STATE_COLUMNS} FROM runs "  # noqa: S608, a constant
                "WHERE :device IS NULL OR device = :device ORDER BY sequence DESC LIMIT :limit",
                {"device": device, "limit": limit},
            ).fetchall()
        with self._memory:
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
            with self._connections.writing() as database:
                before = left
                database.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
                (left,) = database.execute("PRAGMA freelist_count").fetchone()

    def history(self, query: HistoryQuery) -> History:
        """The newest figures of finished runs."""
        with self._reading() as database:
            return read_history(database, query)

    def last_documents(self, limit: int) -> Iterator[RunDocument]:
        """The last run of each series of the metrics, and the last one with a valid figure, oldest first.

        Of a store that an older program wrote, which does not know them, the ``limit`` newest runs. They
        are read one at a time: documents can be large. One that cannot be read (damaged, or of a newer
        program) is logged and left out.
        """
        with self._reading() as database:
            rows = database.execute(
                "SELECT DISTINCT run_id, sequence FROM last_runs JOIN runs USING (run_id) "
                "WHERE finished = 1 ORDER BY sequence"
            ).fetchall()
        yield from self._documents([run_id for run_id, _ in rows] if rows else self._newest(limit))

    def _newest(self, limit: int) -> list[str]:
        with self._reading() as database:
            rows = database.execute(
                "SELECT run_id FROM runs WHERE finished = 1 ORDER BY sequence DESC LIMIT ?", (limit,)
            ).fetchall()
        return [run_id for (run_id,) in reversed(rows)]

    def _documents(self, run_ids: Sequence[str]) -> Iterator[RunDocument]:
        for run_id in run_ids:
            try:
                with self._reading() as database:
                    data = read_document(database, run_id, finished=True)
                if data is not None:
                    yield decode_document(data, f"run {run_id}")
            except (DocumentError, StoreError) as unreadable:
                log.warning("left out: %s", unreadable)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._store_late(0.0)
        with self._connections.reading() as database:
            yield database

    @contextlib.contextmanager
    def _writing(self, wait_seconds: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """A transaction whose result may be acknowledged."""
        self._store_late(0.0)
        with self._connections.writing(wait_seconds) as database:
            self._directory.check()
            yield database

    def _store_late(self, wait_seconds: float) -> None:
        """Try again to store the runs that could not be stored when they ended."""
        with self._memory:
            late = dict(self._unstored)
        if not late:
            return
        with contextlib.suppress(StoreError):
            with self._connections.writing(wait_seconds) as database:
                self._directory.check()
                for document, last_of in late.values():
                    write_end(database, document, encode_document(document), last_of)
            with self._memory:
                for run_id in late:
                    self._unstored.pop(run_id, None)
            log.info("stored by now: %s", ", ".join(late))


def _as_ended(state: RunState, unstored: tuple[RunDocument, Sequence[LastOf]] | None) -> RunState:
    """The state of a run whose end is not stored yet."""
    if unstored is None:
        return state
    document, _ = unstored
    ended = document.finished_at
    return msgspec.structs.replace(state, state="finished", outcome=document.outcome, finished_at=ended)
