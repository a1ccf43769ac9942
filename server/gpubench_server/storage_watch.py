"""Watches whether runs can be stored, so that nobody who asks for it has to wait for a disk."""

from __future__ import annotations

import logging
import threading

from gpubench.results.database import BUSY_SECONDS
from gpubench.results.store import Store
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 5.0
_END_SECONDS = 2.0

_FIRST_SECONDS = 0.5
"""For a database that another program has locked: a server that starts does not wait longer to be there."""


class StorageWatch:
    """Tries every few seconds; what it finds is logged when it changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._problem: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """Why runs cannot be stored; None if they can be."""
        return self._problem

    def start(self, threads: VitalThreads) -> None:
        self.look(_FIRST_SECONDS)
        self._thread = threads.start("storage watch", self._watch)

    def end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def look(self, wait_seconds: float = BUSY_SECONDS) -> None:
        before, self._problem = self._problem, self._store.problem(wait_seconds)
        if self._problem is not None and self._problem != before:
            log.error("no runs are accepted: %s", self._problem)
        elif before is not None and self._problem is None:
            log.info("runs can be stored again")

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self.look()
