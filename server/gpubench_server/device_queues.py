"""The queues of all hardware: each is made when it is first needed. They decide which run may start."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from gpubench.protocol.messages import QueueStatus
from gpubench_server.device_queue import DeviceQueue
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.live_run import LiveRun


class DeviceQueues:
    """Everything but ``end`` must be used with the scheduler's lock held.

    ``new_queue`` makes a queue from its ``may_start``.
    """

    def __init__(
        self, registry: DeviceRegistry, new_queue: Callable[[Callable[[LiveRun], bool]], DeviceQueue]
    ) -> None:
        self._registry = registry
        self._new_queue = new_queue
        self._queues: dict[str, DeviceQueue] = {}

    def of(self, run: LiveRun) -> DeviceQueue:
        """The queue of the run's hardware; raises ``RuntimeError`` if the system has no more threads."""
        hardware_id = run.device.hardware_id
        if hardware_id not in self._queues:
            queue = self._new_queue(self._may_start)
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
