"""Ends the runs whose time is over."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from gpubench.errors import GpubenchError
from gpubench.results.document import RunDocument
from gpubench_server.live_run import LiveRun
from gpubench_server.vital import VitalThreads

Conclude = Callable[[LiveRun, RunDocument], None]


class Cancel(Protocol):
    def __call__(self, run_id: str, reason: GpubenchError, /, *, conclude: Conclude) -> object: ...


class Deadlines:
    """``changed`` guards ``runs`` and is notified when they, or their limits, change.

    A run that waits is stored by a thread of its own: the store may be locked by another program, and the
    time of the other runs goes on.
    """

    def __init__(
        self,
        changed: threading.Condition,
        runs: Callable[[], Collection[LiveRun]],
        cancel: Cancel,
        conclude: Conclude,
    ) -> None:
        self._changed = changed
        self._runs = runs
        self._cancel = cancel
        self._conclude = conclude
        self._ended: queue.SimpleQueue[tuple[LiveRun, RunDocument]] = queue.SimpleQueue()

    def start(self, threads: VitalThreads) -> None:
        threads.start("deadlines", self._watch)
        threads.start("late runs", self._conclude_all)

    def _watch(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = {run: at for run in self._runs() for at in [run.ends_at()] if at is not None}
                late = [run for run, at in due.items() if at <= now]
                if not late:
                    self._changed.wait(min(due.values()) - now if due else None)
                    continue
            for run in late:
                self._cancel(run.id, run.out_of_time(), conclude=self._put)

    def _put(self, run: LiveRun, document: RunDocument) -> None:
        self._ended.put((run, document))

    def _conclude_all(self) -> None:
        while True:
            self._conclude(*self._ended.get())
