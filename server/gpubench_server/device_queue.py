"""A queue: one piece of hardware, its queue, its worker process, one run at a time.

Two runtimes can show the same GPU twice; both views share a queue, or they would disturb each other's
figures.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from gpubench.errors import DeviceLost, QueueFull
from gpubench.executor.supervisor import supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun

log = logging.getLogger(__name__)


_RETRY_SECONDS = 5.0
"""Told with a full queue where nothing is known of how long runs take here."""


class DeviceQueue:
    """The queue of one ``hardware_id`` and the thread that works it off.

    ``changed`` is the scheduler's, of whose lock all that is public here except ``start`` and ``end``
    must be called while holding it. So is ``may_begin``, which tells whether the hardware that a run
    keeps busy is free. ``on_start``, ``on_change`` and ``on_end`` are called by the queue's thread
    without it; ``on_end`` must notify.
    """

    def __init__(
        self,
        changed: threading.Condition,
        limits: Limits,
        registry: DeviceRegistry,
        *,
        may_begin: Callable[[LiveRun], bool],
        on_start: Callable[[LiveRun], None],
        on_change: Callable[[LiveRun, RunDocument], None],
        on_end: Callable[[LiveRun, RunDocument], None],
    ) -> None:
        self.running: LiveRun | None = None
        self.queue: deque[LiveRun] = deque()
        self._changed = changed
        self._limits = limits
        self._registry = registry
        self._may_begin = may_begin
        self._on_start = on_start
        self._on_change = on_change
        self._on_end = on_end
        self._worker: WorkerProcess | None = None
        self._worker_device: str | None = None
        self._ending = False
        self._seconds_per_benchmark: float | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="queue")

    def start(self) -> None:
        self._thread.start()

    def end(self, timeout_seconds: float) -> None:
        """Take no further runs, end the worker; the queue must be empty."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def check_room(self) -> None:
        """Raises ``QueueFull``."""
        length = len(self.queue)
        if length >= self._limits.max_queue_length:
            eta = self.seconds_before(1)
            raise QueueFull(
                f"{length} runs wait for this device already, and no more are taken; try again later",
                queue_length=length,
                retry_after_seconds=round(max(1.0, _RETRY_SECONDS if eta is None else eta), 1),
            )

    def put(self, run: LiveRun) -> int:
        """Queue a run; returns its place, 0 for the next or running one."""
        self.queue.append(run)
        self._changed.notify_all()
        return len(self.queue) - 1 + (self.running is not None)

    def remove(self, run: LiveRun) -> bool:
        """Take a waiting run out of the queue; false where it is not waiting."""
        if run not in self.queue:
            return False
        self.queue.remove(run)
        self._tell_places()
        return True

    def place(self, run: LiveRun) -> int:
        return self.queue.index(run) + (self.running is not None) if run in self.queue else 0

    def seconds_before(self, place: int) -> float | None:
        """Until the run at ``place`` begins, from how long earlier runs took; null without any."""
        if place == 0:
            return 0.0
        if self._seconds_per_benchmark is None:
            return None
        ahead = ([self.running] if self.running else []) + list(self.queue)
        whole = sum(len(run.work.benchmarks) for run in ahead[:place]) * self._seconds_per_benchmark
        begun = self.running.started_at if self.running else None
        return max(0.0, whole - (time.monotonic() - begun if begun is not None else 0.0))

    def _work(self) -> None:
        while self._wait_for_work():
            with self._registry.in_use():
                run = self._take()
                if run is not None:
                    self._conduct(run)
        self._end_worker()

    def _wait_for_work(self) -> bool:
        """Whether there is a run to begin, else the queue ends; a worker that idles for too long is ended."""
        while True:
            with self._changed:
                patience = self._limits.worker_idle_seconds if self._worker else None
                if self._changed.wait_for(lambda: self._is_due() or self._ending, patience):
                    return self._is_due()
            self._end_worker()

    def _is_due(self) -> bool:
        return bool(self.queue) and self._may_begin(self.queue[0])

    def _take(self) -> LiveRun | None:
        with self._changed:
            if not self._is_due():  # cancelled meanwhile, or another queue was quicker
                return None
            self.running = run = self.queue.popleft()
            run.started_at = time.monotonic()
            run.tell(Progress(run_id=run.id, phase="starting", done_ratio=0.0))
            self._tell_places()
            return run

    def _conduct(self, run: LiveRun) -> None:
        self._on_start(run)
        try:
            reused = self._has_worker_for(run.device.id)
            document = self._attempt(run)
            if reused and document.outcome == "device_lost" and document.environment is None:
                # It died while it idled, which shows only now: nothing of this run was begun.
                document = self._attempt(run)
        except Exception as error:  # a mistake of ours, or no process can be started
            log.exception("run %s could not be conducted", run.id)
            self._end_worker()
            document = run.recorder.finish(DeviceLost(f"the run could not be conducted: {error}"))
        with self._changed:
            self.running = None
            if document.outcome == "ok" and run.started_at is not None:
                each = (time.monotonic() - run.started_at) / max(1, len(run.work.benchmarks))
                self._seconds_per_benchmark = each
        self._on_end(run, document)

    def _attempt(self, run: LiveRun) -> RunDocument:
        document = supervise(
            self._worker_for(run.device.id),
            run.work,
            run.recorder,
            run.stop,
            lambda progress: run.tell(msgspec.structs.replace(progress, run_id=run.id)),
            lambda document: self._on_change(run, document),
        )
        if document.outcome == "device_lost":
            self._end_worker()
        return document

    def _has_worker_for(self, device: str) -> bool:
        return self._worker is not None and self._worker_device == device and self._worker.alive

    def _worker_for(self, device: str) -> WorkerProcess:
        """The worker of this device; each holds one device only, so another device's is ended."""
        if not self._has_worker_for(device):
            self._end_worker()
        if self._worker is None:
            self._worker = WorkerProcess()
            self._worker_device = device
        return self._worker

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _tell_places(self) -> None:
        for run in self.queue:
            run.tell(queued(run.id, self.place(run)))


def queued(run_id: str, place: int) -> Progress:
    return Progress(run_id=run_id, phase="queued", done_ratio=0.0, position=place)
