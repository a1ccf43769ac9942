"""Removes stored runs that need not be kept any more, once an hour."""

from __future__ import annotations

import logging
import threading

from gpubench.errors import StoreError
from gpubench.results.retention import Retention
from gpubench.results.store import Store
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 3600.0
_END_SECONDS = 2.0


class RetentionWatch:
    """The first time is when it starts."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, threads: VitalThreads) -> None:
        self._thread = threads.start("retention", self._watch)

    def end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def look(self) -> None:
        try:
            removed = self._store.prune(self._retention, self._ended.is_set)
        except StoreError as error:
            log.warning("old runs are not removed: %s", error.message)
        else:
            if removed:
                log.info("removed %d stored runs, which are beyond the limits of number or age", removed)

    def _watch(self) -> None:
        self.look()
        while not self._ended.wait(_PERIOD_SECONDS):
            self.look()
