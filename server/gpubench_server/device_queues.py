"""The queues of all hardware: each is made when it is first needed. They decide which run may start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from gpubench.protocol.messages import QueueStatus
from gpubench.results.document import RunDocument
from gpubench_server.device_queue import DeviceQueue
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun
from gpubench_server.vital import VitalThreads


class DeviceQueues:
    """``changed`` is the scheduler's condition; everything but ``end`` must be used with its lock held.

    ``on_start``, ``on_change`` and ``on_end`` are those of each ``DeviceQueue``.
    """

    def __init__(
        self,
        changed: threading.Condition,
        limits: Limits,
        registry: DeviceRegistry,
        threads: VitalThreads,
        *,
        on_start: Callable[[LiveRun], None],
        on_change: Callable[[LiveRun, RunDocument], None],
        on_end: Callable[[LiveRun, RunDocument], None],
    ) -> None:
        self._changed = changed
        self._limits = limits
        self._registry = registry
        self._threads = threads
        self._on_start = on_start
        self._on_change = on_change
        self._on_end = on_end
        self._queues: dict[str, DeviceQueue] = {}

    def of(self, run: LiveRun) -> DeviceQueue:
        """The queue of the run's hardware; raises ``RuntimeError`` if the system has no more threads."""
        hardware_id = run.device.hardware_id
        if hardware_id not in self._queues:
            queue = DeviceQueue(
                self._changed,
                self._limits,
                self._registry,
                self._threads,
                may_start=self._may_start,
                on_start=self._on_start,
                on_change=self._on_change,
                on_end=self._on_end,
            )
            queue.start()  # before it is kept: the next run must not find a queue that failed to start
            self._queues[hardware_id] = queue
        return self._queues[hardware_id]

    def values(self) -> Collection[DeviceQueue]:
        return self._queues.values()

    def status(self) -> list[QueueStatus]:
        """One for each device; devices that are the same hardware show the same runs."""
        found = []
        for device in self._registry.known.devices:
            queue = self._queues.get(device.hardware_id)
            running = queue.running.id if queue and queue.running else None
            found.append(QueueStatus(device.id, running, [run.id for run in queue.waiting] if queue else []))
        return found

    def end(self, timeout_seconds: float) -> None:
        """End the queues and their workers, all at the same time."""
        for queue in self._queues.values():
            queue.end()
        until = time.monotonic() + timeout_seconds
        for queue in self._queues.values():
            queue.join(max(0.0, until - time.monotonic()))

    def _may_start(self, run: LiveRun) -> bool:
        """Whether the run's hardware is free, and no run at the head of a queue has waited for it longer."""
        if not run.device_known:
            return False
        devices = self._registry.known.devices
        hardware = run.hardware(devices)
        for queue in self._queues.values():
            earlier = [other for other in list(queue.waiting)[:1] if other.queued_at < run.queued_at]
            if queue.running is not None:
                earlier.append(queue.running)
            if any(hardware & other.hardware(devices) for other in earlier):
                return False
        return True
