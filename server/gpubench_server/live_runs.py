"""The runs that have not ended, and where they are: what the scheduler changes, and others only look at."""

from __future__ import annotations

import threading
import time

import msgspec

from gpubench.protocol.messages import QueueStatus
from gpubench.results.progress import Progress
from gpubench.results.run_state import RunState
from gpubench.results.store import Store
from gpubench_server.device_queues import DeviceQueues
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun


class LiveRuns:
    """``changed`` holds the lock that guards all of it, also the ``queues``."""

    def __init__(
        self, store: Store, limits: Limits, changed: threading.Condition, queues: DeviceQueues
    ) -> None:
        self._store = store
        self._limits = limits
        self._changed = self._lock = changed
        self._queues = queues
        self._runs: dict[str, LiveRun] = {}
        self._put_off: set[str] = set()
        """Runs that the next server takes up, because this one drains."""
        self._draining = False
        self.newest: str | None = None
        """The id of the newest run that was accepted."""

    @property
    def draining(self) -> bool:
        return self._draining

    def queues(self) -> list[QueueStatus]:
        """One for each device; devices that are the same hardware show the same runs."""
        with self._lock:
            return self._queues.status()

    def latest(self, limit: int, device: str | None = None) -> list[RunState]:
        """The newest runs, newest first."""
        waiting = self.waiting() | self._put_off
        runs = self._store.latest(limit, device)
        return [msgspec.structs.replace(r, state="queued") if r.run_id in waiting else r for r in runs]

    def progress(self, run_id: str) -> Progress | None:
        """The last progress of a live run."""
        run = self._runs.get(run_id)
        return run.latest if run else None

    def is_live(self, run_id: str) -> bool:
        return run_id in self._runs or run_id in self._put_off

    def waiting(self) -> set[str]:
        """The ids of the runs that have not started."""
        with self._lock:
            return {run.id for queue in self._queues.values() for run in queue.waiting}

    def stuck(self, lock_seconds: float, overdue_seconds: float) -> str | None:
        """Why runs may be stuck for good: the lock is not released, or a run outlasted every limit."""
        if not self._lock.acquire(timeout=lock_seconds):
            return f"the scheduler has been busy for {lock_seconds:g} s"
        try:
            latest_start = time.monotonic() - self._limits.max_run_seconds - overdue_seconds
            started = [run.started_at for run in self._runs.values() if run.started_at is not None]
        finally:
            self._lock.release()
        if min(started, default=latest_start) < latest_start:
            return f"a run has not ended {overdue_seconds:g} s after its limit"
        return None
