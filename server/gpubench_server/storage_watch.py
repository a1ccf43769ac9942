"""Watches whether runs can be stored, so that nobody who asks for it has to wait for a disk."""

from __future__ import annotations

import logging
import threading

from gpubench.results.store import Store
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 5.0
_END_SECONDS = 2.0


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
        self.look()
        self._thread = threads.start("storage watch", self._watch)

    def end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def look(self) -> None:
        before, self._problem = self._problem, self._store.problem()
        if self._problem is not None and self._problem != before:
            log.error("no runs are accepted: %s", self._problem)
        elif before is not None and self._problem is None:
            log.info("runs can be stored again")

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self.look()
