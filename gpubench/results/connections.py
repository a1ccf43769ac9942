"""The two connections to one database: those who read do not wait for those who write.

In WAL mode readers and the writer do not lock each other out. A foreign program that holds the write lock,
such as a transaction in a shell that was left open, delays who writes, for ``BUSY_SECONDS`` at most, and
nobody who reads.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gpubench.errors import StoreError
from gpubench.results.database import BUSY_SECONDS, open_database, open_reader

_FILES = 3
"""A database, its log, and the memory that its users share."""

DAMAGED = "; if it is damaged, move it away, or pass another --data-dir"


class Connections:
    """Safe to use from any thread. Raises ``StoreError`` with the reason, retryable if it is a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writes, self._reads = threading.Lock(), threading.Lock()
        with contextlib.ExitStack() as undo, explained(path, DAMAGED):
            self._writer = undo.enter_context(contextlib.closing(open_database(path)))
            self._reader = undo.enter_context(contextlib.closing(open_reader(path)))
            undo.pop_all()

    def close(self) -> None:
        with self._writes, self._reads:
            self._reader.close()
            self._writer.close()  # the last one tidies the log up

    @contextlib.contextmanager
    def writing(self, wait_seconds: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """A transaction. It waits so long for other threads of this process, and again for other programs."""
        with turn(self._writes, wait_seconds), explained(self._path):
            self._writer.execute(f"PRAGMA busy_timeout = {round(wait_seconds * 1000)}")
            with self._writer as database:
                yield database

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What was committed before; each statement by itself."""
        with turn(self._reads, BUSY_SECONDS), explained(self._path):
            yield self._reader


@contextlib.contextmanager
def turn(lock: threading.Lock | threading.RLock, wait_seconds: float) -> Iterator[None]:
    """Hold a lock of those who wait for the store; raises ``StoreError`` if it takes longer."""
    if not lock.acquire(timeout=wait_seconds):
        raise StoreError(
            "the store is busy, or locked by another program: others have waited for it for "
            f"{wait_seconds:g} s; try again",
            retryable=True,
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explained(path: Path, remedy: str = "") -> Iterator[None]:
    """What SQLite says, as a ``StoreError``."""
    try:
        yield
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        if _is_locked(error):
            raise StoreError(
                f"the store {path} is locked by another program; end that program (`fuser {path}` finds it) "
                "and try again",
                retryable=True,
            ) from error
        if getattr(error, "sqlite_errorname", "") == "SQLITE_CANTOPEN" and remedy:
            _open_files()
        raise StoreError(f"the store {path} cannot be used: {error}{remedy}") from error


def _open_files() -> None:
    """Raises ``OSError`` if this process may not open as many as a database needs: SQLite does not say so."""
    with contextlib.ExitStack() as opened:
        for _ in range(_FILES):
            opened.enter_context(Path(os.devnull).open("rb"))


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
