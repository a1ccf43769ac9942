"""One piece of hardware: the runs that wait for it, its worker process, one run at a time.

Two runtimes can list the same GPU; both of its devices share one queue, because runs at the same time
would disturb each other's measurements.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from gpubench.errors import DeviceLost, GpubenchError, LimitReached, QueueFull
from gpubench.executor.supervisor import supervise
from gpubench.executor.worker_slot import WorkerSlot
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun
from gpubench_server.log_context import about
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
"""Suggested with a full queue until it is known how long runs take."""


class DeviceQueue:
    """The queue of one ``hardware_id``, and the thread that executes its runs.

    ``changed`` is the scheduler's condition. Everything public except ``start``, ``end`` and ``join`` must be
    used with its lock held, and ``may_start``, which says whether a run's hardware is free, is called with
    it. ``on_start``, ``on_change`` and ``on_end`` are called by the queue's thread without the lock;
    ``on_end`` must notify the condition.
    """

    def __init__(
        self,
        changed: threading.Condition,
        limits: Limits,
        registry: DeviceRegistry,
        threads: VitalThreads,
        *,
        may_start: Callable[[LiveRun], bool],
        on_start: Callable[[LiveRun], None],
        on_change: Callable[[LiveRun, RunDocument], None],
        on_end: Callable[[LiveRun, RunDocument], None],
    ) -> None:
        self.running: LiveRun | None = None
        self.waiting: deque[LiveRun] = deque()
        self._changed = changed
        self._limits = limits
        self._registry = registry
        self._may_start = may_start
        self._on_start = on_start
        self._on_change = on_change
        self._on_end = on_end
        self._slot = WorkerSlot()
        self._ending = False
        self._seconds_per_benchmark: float | None = None
        self._threads = threads
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = self._threads.start("device queue", self._execute_all)

    def end(self) -> None:
        """Execute no further runs and end the worker; no run may be waiting."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def join(self, timeout_seconds: float) -> None:
        """Wait until its thread has ended."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def check_room(self) -> None:
        """Raises ``QueueFull``."""
        length = len(self.waiting)
        if length >= self._limits.max_queue_length:
            eta = self.seconds_before(1)
            raise QueueFull(
                f"the queue of this device is full: {length} runs are waiting; try again later",
                queue_length=length,
                retry_after_seconds=round(max(1.0, _RETRY_SECONDS if eta is None else eta), 1),
            )

    def put(self, run: LiveRun) -> int:
        """Queue a run; returns its position, 0 for the run that is next or running."""
        self.waiting.append(run)
        self._changed.notify_all()
        return len(self.waiting) - 1 + (self.running is not None)

    def remove(self, run: LiveRun) -> bool:
        """Take a waiting run out of the queue; false if it is not waiting."""
        if run not in self.waiting:
            return False
        self.waiting.remove(run)
        self._report_positions()
        return True

    def seconds_before(self, position: int) -> float | None:
        """Until the run at ``position`` starts, estimated from earlier runs; None if there were none."""
        if position == 0:
            return 0.0
        if self._seconds_per_benchmark is None:
            return None
        ahead = [*([self.running] if self.running else []), *self.waiting][:position]
        expected = sum(len(run.work.benchmarks) for run in ahead) * self._seconds_per_benchmark
        started_at = self.running.started_at if self.running else None
        return max(0.0, expected - (time.monotonic() - started_at if started_at is not None else 0.0))

    def _execute_all(self) -> None:
        while self._wait_for_run():
            with self._registry.in_use():
                run = self._take()
                if run is not None:
                    with about(run.log_fields):
                        self._execute(run)
        self._slot.end()

    def _wait_for_run(self) -> bool:
        """Wait until a run may start; false if the queue ends instead.

        A worker that is idle for too long meanwhile is ended.
        """
        while True:
            with self._changed:
                timeout = self._limits.worker_idle_seconds if self._slot.worker else None
                if self._changed.wait_for(lambda: self._is_due() or self._ending, timeout):
                    return self._is_due()
            self._slot.end()

    def _is_due(self) -> bool:
        return bool(self.waiting) and self._may_start(self.waiting[0])

    def _take(self) -> LiveRun | None:
        with self._changed:
            if not self._is_due():  # cancelled meanwhile, or another queue took the hardware first
                return None
            self.running = run = self.waiting.popleft()
            run.started_at = time.monotonic()
            run.report(Progress(run_id=run.id, phase="starting", done_ratio=0.0))
            self._report_positions()
            return run

    def _execute(self, run: LiveRun) -> None:
        try:
            self._on_start(run)
            document = self._supervise(run)
        except GpubenchError as error:  # no process can be started
            document = run.recorder.finish(error)
        except Exception as error:  # a bug
            log.exception("run %s could not be executed", run.id)
            self._slot.end()
            document = run.recorder.finish(DeviceLost(f"the run could not be executed: {error}"))
        with self._changed:
            self.running = None
            if document.outcome == "ok" and run.started_at is not None:
                seconds = time.monotonic() - run.started_at
                self._seconds_per_benchmark = seconds / max(1, len(run.work.benchmarks))
        self._on_end(run, document)

    def _supervise(self, run: LiveRun) -> RunDocument:
        document = supervise(
            self._slot.worker_for(run.device.id),
            run.work,
            run.recorder,
            run.stop,
            lambda progress: run.report(msgspec.structs.replace(progress, run_id=run.id)),
            lambda document: self._on_change(run, document),
            self._slot.replace,
        )
        if document.outcome == "device_lost":
            self._registry.doubt()
            self._slot.end()
        elif document.error is not None and document.error.kind == LimitReached.kind:
            self._slot.end()  # what it has used up, it would not have for the next run either
        return document

    def _report_positions(self) -> None:
        for index, run in enumerate(self.waiting):
            run.report(queued_progress(run.id, index + (self.running is not None)))


def queued_progress(run_id: str, position: int) -> Progress:
    return Progress(run_id=run_id, phase="queued", done_ratio=0.0, position=position)
