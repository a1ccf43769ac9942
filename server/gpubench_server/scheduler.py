"""Which run goes where and when: device_queues, deadlines, cancelling, and telling those who wait.

One lock guards device_queues and runs and is held for moments only; the store is written without it. A run
is stored when it is accepted and when it ends, each time before anybody is told.
"""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from gpubench.errors import Cancelled, Draining, GpubenchError, RunError, StoreError
from gpubench.protocol.messages import Accepted, QueueStatus
from gpubench.results.document import ErrorInfo, RunDocument
from gpubench.results.store import Store
from gpubench_server.device_queue import DeviceQueue, queued
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.encode import notification_line, run_line
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun, no_such_run
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Ticket

log = logging.getLogger(__name__)


class Scheduler:
    """All runs that are not finished."""

    def __init__(self, store: Store, registry: DeviceRegistry, metrics: MetricsState, limits: Limits) -> None:
        self._store = store
        self._registry = registry
        self._metrics = metrics
        self._limits = limits
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._submitting = threading.RLock()
        self._queues: dict[str, DeviceQueue] = {}
        self._runs: dict[str, LiveRun] = {}
        self._draining = False
        threading.Thread(target=self._watch_deadlines, daemon=True, name="deadlines").start()

    # Requests.

    def submit(self, run: LiveRun, request: str, ticket: Ticket) -> None:
        """Take a run, or join the one that its key stands for.

        Raises ``Draining``, ``QueueFull``, ``KeyConflict`` and ``StoreError``.
        """
        document = run.recorder.document
        benchmarks = [each.name for each in run.work.benchmarks]
        with self._submitting:  # two requests with one key: the second finds the first
            if document.key is not None and self.replay(document.key, request, ticket, run.detached):
                return
            with self._lock:
                if self._draining:
                    raise _stopping()
                queue = self._queue(run.device.hardware_id)
                queue.check_room()
            self._store.accept(document, request, run.device.id, benchmarks)
            with self._lock:
                self._runs[run.id] = run
                run.tickets.append(ticket)
                place = queue.put(run)
                eta = queue.seconds_before(place)
                accepted = Accepted(ticket.request_id, run.id, place, eta)
                ticket.open(notification_line("accepted", accepted))
                run.tell(queued(run.id, place))
                self._changed.notify_all()
        if self._draining:  # begun since the check above
            self.cancel(run.id, _stopping())

    def replay(self, key: str, request: str, ticket: Ticket, detach: bool) -> bool:
        """Answer with the run of this key, or wait for it; false where there is none."""
        with self._submitting:  # a run that is half submitted is in the store and not yet live
            known = self._store.find_key(key, request)
            if known is None:
                return False
            accepted = Accepted(ticket.request_id, known.run_id, 0, 0.0, replayed=True)
            self.fetch(known.run_id, ticket, accepted, detach)
            return True

    def fetch(
        self, run_id: str, ticket: Ticket, accepted: Accepted | None = None, detach: bool = False
    ) -> None:
        """Answer with a finished run's document, or wait for a live run's end.

        Raises ``NoSuchRun``.
        """
        told = notification_line("accepted", accepted) if accepted else None
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None:
                ticket.open(told)
                run.tickets.append(ticket)
                run.detached |= detach
                if run.latest:
                    ticket.progress(run.latest)
                return
        data = self._store.document(run_id)
        if data is None:
            raise no_such_run(run_id)
        ticket.open(told)
        ticket.answer(run_line(ticket.request_id, data, fetches=ticket.fetches))

    def cancel(self, run_id: str, reason: GpubenchError) -> bool:
        """End a run; false where it is not live."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return False
            waiting = self._queue(run.device.hardware_id).remove(run)
            stop = reason if isinstance(reason, RunError) else Cancelled(reason.message)
            run.stop.set(stop)
        if waiting:
            document = run.recorder.finish(stop)
            if stop is not reason:
                document = msgspec.structs.replace(document, error=ErrorInfo.of(reason))
            self._conclude(run, document)
        return True

    def abandon(self, ticket: Ticket) -> None:
        """The client of this request is gone: so is its run, if nobody else wants it."""
        with self._lock:
            holders = [run for run in self._runs.values() if ticket in run.tickets]
            for run in holders:
                run.tickets.remove(ticket)
            left = [run for run in holders if run.abandoned]
        for run in left:
            self.cancel(run.id, Cancelled("the client that asked for this run is gone"))

    # What is going on.

    def queues(self) -> list[QueueStatus]:
        """By device; the views of one piece of hardware show the runs of each."""
        with self._lock:
            shown = []
            for device in self._registry.known.devices:
                queue = self._queues.get(device.hardware_id)
                running = queue.running.id if queue and queue.running else None
                shown.append(
                    QueueStatus(device.id, running, [run.id for run in queue.queue] if queue else [])
                )
            return shown

    def waiting(self) -> set[str]:
        """The ids of the runs that have not begun."""
        with self._lock:
            return {run.id for queue in self._queues.values() for run in queue.queue}

    @property
    def draining(self) -> bool:
        return self._draining

    # The end.

    def drain(self) -> None:
        """Take no new runs and cancel those that wait; the running ones go on."""
        with self._lock:
            self._draining = True
        for run_id in self.waiting():
            self.cancel(run_id, _stopping())

    def cancel_all(self, reason: RunError) -> None:
        with self._lock:
            live = list(self._runs)
        for run_id in live:
            self.cancel(run_id, reason)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether no run is left, all stored and their clients' outboxes told."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._runs, timeout_seconds)

    def end(self, timeout_seconds: float) -> None:
        """End the device_queues and their workers; ``drain`` comes before."""
        device_queues = list(self._queues.values())
        enders = [threading.Thread(target=queue.end, args=(timeout_seconds,)) for queue in device_queues]
        for thread in enders:
            thread.start()
        for thread in enders:
            thread.join(timeout_seconds)

    # Inside.

    def _queue(self, hardware_id: str) -> DeviceQueue:
        if hardware_id not in self._queues:
            queue = DeviceQueue(
                self._changed,
                self._limits,
                self._registry,
                may_begin=self._may_begin,
                on_start=self._started,
                on_change=self._measured,
                on_end=self._conclude,
            )
            queue.start()  # first: one that cannot start must not be there for the next run
            self._queues[hardware_id] = queue
        return self._queues[hardware_id]

    def _may_begin(self, run: LiveRun) -> bool:
        """Whether nobody uses the run's hardware, nor has waited for a part of it for longer."""
        devices = self._registry.known.devices
        hardware = run.hardware(devices)
        for queue in self._queues.values():
            earlier = [other for other in list(queue.queue)[:1] if other.queued_at < run.queued_at]
            if queue.running is not None:
                earlier.append(queue.running)
            if any(hardware & other.hardware(devices) for other in earlier):
                return False
        return True

    def _started(self, run: LiveRun) -> None:
        run.measured_at = time.monotonic()
        self._metrics.run_started(run.measured_at - run.queued_at)
        with self._lock:
            self._changed.notify_all()  # another deadline counts from now on

    def _measured(self, run: LiveRun, document: RunDocument) -> None:
        at, benchmark = time.monotonic(), document.measurements[-1].benchmark
        run.took_seconds[benchmark] += at - run.measured_at
        run.measured_at = at
        try:
            self._store.checkpoint(document)
        except StoreError:
            log.exception("run %s could not be checkpointed", run.id)

    def _conclude(self, run: LiveRun, document: RunDocument) -> None:
        """Store, then tell."""
        unstored: StoreError | None = None
        try:
            data = self._store.finish(document)
        except StoreError as error:
            log.exception("run %s could not be stored", run.id)
            unstored = error
            data = msgspec.json.encode(document)
        for benchmark, seconds in run.took_seconds.items():
            self._metrics.measured(benchmark, seconds)
        self._metrics.run_ended(document, [each.name for each in run.work.benchmarks])
        log.info("run %s: %s", run.id, document.outcome)
        with self._lock:
            del self._runs[run.id]
            for ticket in run.tickets:
                told = run_line(ticket.request_id, data, fetches=ticket.fetches, unstored=unstored)
                ticket.answer(told)
            self._changed.notify_all()

    def _watch_deadlines(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                limit = self._limits.max_run_seconds
                due = {run: at for run in self._runs.values() for at in [run.ends_at(limit)] if at}
                late = [run for run, at in due.items() if at <= now]
                if not late:
                    self._changed.wait(min(due.values()) - now if due else None)
                    continue
            for run in late:
                self.cancel(run.id, run.out_of_time(limit))


def _stopping() -> Draining:
    return Draining("this server is about to stop and takes no new runs; try again when it is back")
