"""Decides which run goes where and when: queues, deadlines, cancellation, and the end of each run.

One lock guards the device queues and the runs. It is held only briefly; the store is written without it.
A run is stored when it is accepted and when it ends, each time before any client is informed.
"""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from gpubench.errors import (
    Cancelled,
    Draining,
    Forbidden,
    GpubenchError,
    InvalidDocument,
    RunError,
    StoreError,
)
from gpubench.protocol.messages import Accepted, QueueStatus
from gpubench.results.document import ErrorInfo, RunDocument, encode_document
from gpubench.results.progress import Progress
from gpubench.results.run_state import RunState
from gpubench.results.store import Store
from gpubench_server.device_queue import DeviceQueue, queued_progress
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.encode import error_line, notification_line, run_line
from gpubench_server.fair_use import check_share
from gpubench_server.limits import Limits
from gpubench_server.live_run import Answer, LiveRun, no_answer, no_such_run
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Ticket
from gpubench_server.principals import Principal
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)


class Scheduler:
    """All runs that have not ended."""

    def __init__(
        self,
        store: Store,
        registry: DeviceRegistry,
        metrics: MetricsState,
        limits: Limits,
        threads: VitalThreads,
    ) -> None:
        self._store = store
        self._registry = registry
        self._metrics = metrics
        self._limits = limits
        self._threads = threads
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._submitting = threading.RLock()
        self._queues: dict[str, DeviceQueue] = {}
        self._runs: dict[str, LiveRun] = {}
        self._draining = False
        self.newest: str | None = None
        """The id of the newest run that was accepted."""

    def start(self) -> None:
        self._threads.start("deadlines", self._watch_deadlines)

    # Requests.

    def submit(self, run: LiveRun, request: str, ticket: Ticket) -> None:
        """Queue a run, or join the run that already has its key.

        Raises ``Draining``, ``LimitExceeded``, ``QueueFull``, ``KeyConflict`` and ``StoreError``.
        """
        document = run.recorder.document
        benchmarks = [each.name for each in run.work.benchmarks]
        with self._submitting:  # of two requests with one key, the second finds the first
            if document.key is not None and self.replay(document.key, request, ticket, run.detached):
                return
            with self._lock:
                if self._draining:
                    raise _draining()
                queue = self._queue(run.device.hardware_id)
                check_share(run, self._runs.values(), queue.waiting, self._limits)
                queue.check_room()
            self._store.accept(document, request, run.device.id, benchmarks)
            try:
                with self._lock:
                    self._runs[run.id] = run
                    self.newest = run.id
                    self._begin(run, queue, ticket)
            except BaseException:
                self._retract(run, queue, ticket)
                raise
        log.info("run %s: accepted from %s", run.id, run.owner, extra=run.log_fields())
        if self._draining:  # since the check above
            self.cancel(run.id, _draining())

    def _begin(self, run: LiveRun, queue: DeviceQueue, ticket: Ticket) -> None:
        position = queue.put(run)
        accepted = Accepted(ticket.request_id, run.id, position, queue.seconds_before(position))
        run.join(ticket, notification_line("accepted", accepted))
        run.report(queued_progress(run.id, position))
        self._changed.notify_all()

    def _retract(self, run: LiveRun, queue: DeviceQueue, ticket: Ticket) -> None:
        """A run that was accepted could not be begun: its request is answered with the error, by others."""
        with self._lock:
            run.leave(ticket)
            ticket.outbox.drop(ticket)
            queue.remove(run)
            run.stop.set(no_answer(run.id))
            started = run.started_at is not None  # then its queue ends it
        if not started:
            self._conclude(run, run.recorder.finish(run.stop.reason))

    def replay(self, key: str, request: str, ticket: Ticket, detach: bool) -> bool:
        """Respond with the run that has this key, or wait for it; false if there is none."""
        with self._submitting:  # a run that is being submitted is in the store, but not yet live
            known = self._store.find_key(key, request)
            if known is None:
                return False
            accepted = Accepted(ticket.request_id, known.run_id, 0, 0.0, replayed=True)
            try:
                self.fetch(known.run_id, ticket, accepted, detach)
            except InvalidDocument:  # what the run measured is lost, so the retry makes a new run
                return False
            return True

    def fetch(
        self, run_id: str, ticket: Ticket, accepted: Accepted | None = None, detach: bool = False
    ) -> None:
        """Respond with a finished run's document, or wait for the end of a live run.

        Raises ``NoSuchRun``, and ``InvalidDocument`` if the document is damaged.
        """
        notification = notification_line("accepted", accepted) if accepted else None
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None:
                run.detached |= detach
                run.join(ticket, notification)
                return
        data = self._store.document(run_id)
        if data is None:
            raise no_such_run(run_id)
        line = run_line(ticket.request_id, data, fetches=ticket.fetches)
        try:
            ticket.outbox.open(ticket, notification)
            ticket.outbox.respond(ticket, line)
        except BaseException:
            ticket.outbox.drop(ticket)
            raise

    def cancel(self, run_id: str, reason: GpubenchError, by: Principal | None = None) -> bool:
        """End a run; false if it is not live. Raises ``Forbidden`` if it is not for ``by`` to do that."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return False
            if by is not None and by != run.owner and not by.cancels_all:
                raise Forbidden(
                    f"run {run_id} is of {run.owner}, and only its owner and the role admin may cancel it"
                )
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
        """The client of this request is gone: cancel the run, unless others wait for it."""
        with self._lock:
            left = [run for run in self._runs.values() if run.leave(ticket) and run.abandoned]
        for run in left:
            self.cancel(run.id, Cancelled("the client that requested this run is gone"))

    # State.

    def queues(self) -> list[QueueStatus]:
        """One for each device; devices that are the same hardware show the same runs."""
        with self._lock:
            found = []
            for device in self._registry.known.devices:
                queue = self._queues.get(device.hardware_id)
                running = queue.running.id if queue and queue.running else None
                found.append(
                    QueueStatus(device.id, running, [run.id for run in queue.waiting] if queue else [])
                )
            return found

    def latest(self, limit: int, device: str | None = None) -> list[RunState]:
        """The newest runs, newest first."""
        waiting = self.waiting()
        runs = self._store.latest(limit, device)
        return [msgspec.structs.replace(r, state="queued") if r.run_id in waiting else r for r in runs]

    def progress(self, run_id: str) -> Progress | None:
        """The last progress of a live run."""
        run = self._runs.get(run_id)
        return run.latest if run else None

    def is_live(self, run_id: str) -> bool:
        return run_id in self._runs

    def waiting(self) -> set[str]:
        """The ids of the runs that have not started."""
        with self._lock:
            return {run.id for queue in self._queues.values() for run in queue.waiting}

    @property
    def draining(self) -> bool:
        return self._draining

    def stuck(self, lock_seconds: float, overdue_seconds: float) -> str | None:
        """Why no run may ever end again: nobody gives the lock back, or a run outlasted every limit."""
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

    # The end.

    def drain(self) -> None:
        """Accept no new runs and cancel those that wait; the running ones go on."""
        with self._lock:
            self._draining = True
        for run_id in self.waiting():
            self.cancel(run_id, _draining())

    def cancel_all(self, reason: RunError) -> None:
        with self._lock:
            live = list(self._runs)
        for run_id in live:
            self.cancel(run_id, reason)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether all runs have ended, are stored, and their responses are in the outboxes."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._runs, timeout_seconds)

    def end(self, timeout_seconds: float) -> None:
        """End the device queues and their workers; call ``drain`` first."""
        threads = [
            threading.Thread(target=queue.end, args=(timeout_seconds,)) for queue in self._queues.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_seconds)

    # Inside.

    def _queue(self, hardware_id: str) -> DeviceQueue:
        if hardware_id not in self._queues:
            queue = DeviceQueue(
                self._changed,
                self._limits,
                self._registry,
                self._threads,
                may_start=self._may_start,
                on_start=self._started,
                on_change=self._measured,
                on_end=self._conclude,
            )
            queue.start()  # before it is kept: the next run must not find a queue that failed to start
            self._queues[hardware_id] = queue
        return self._queues[hardware_id]

    def _may_start(self, run: LiveRun) -> bool:
        """Whether the run's hardware is free, and no run at the head of a queue has waited for it longer."""
        devices = self._registry.known.devices
        hardware = run.hardware(devices)
        for queue in self._queues.values():
            earlier = [other for other in list(queue.waiting)[:1] if other.queued_at < run.queued_at]
            if queue.running is not None:
                earlier.append(queue.running)
            if any(hardware & other.hardware(devices) for other in earlier):
                return False
        return True

    def _started(self, run: LiveRun) -> None:
        run.measured_at = time.monotonic()
        self._metrics.run_started(run.measured_at - run.queued_at)
        with self._lock:
            self._changed.notify_all()  # the time limit of a run counts from its start

    def _measured(self, run: LiveRun, document: RunDocument) -> None:
        now, benchmark = time.monotonic(), document.measurements[-1].benchmark
        run.benchmark_seconds[benchmark] += now - run.measured_at
        run.measured_at = now
        try:
            self._store.checkpoint(document)
        except StoreError:
            log.exception("run %s: the finished measurements could not be stored", run.id)

    def _conclude(self, run: LiveRun, document: RunDocument) -> None:
        """Store the document, then respond to the requests that wait for it, whatever goes wrong here."""

        def apologise(ticket: Ticket) -> bytes:
            return error_line(ticket.request_id, no_answer(run.id))

        answer: Answer = apologise
        try:
            answer = self._keep(document)
            self._count(run, document)
            log.info("run %s: %s", run.id, document.outcome, extra=run.log_fields())
        except Exception:
            log.exception("run %s: its end was not processed completely", run.id)
            self._store.keep(document)
        with self._lock:
            self._runs.pop(run.id, None)
            run.respond(answer)
            self._changed.notify_all()

    def _keep(self, document: RunDocument) -> Answer:
        """Store a document; returns what answers the requests that wait for it."""
        unstored: StoreError | None = None
        try:
            data = self._store.finish(document, self._metrics.series_of(document))
        except StoreError as error:
            log.exception("run %s: the document could not be stored", document.run_id)
            unstored = error
            data = encode_document(document)
        return lambda ticket: run_line(ticket.request_id, data, fetches=ticket.fetches, unstored=unstored)

    def _count(self, run: LiveRun, document: RunDocument) -> None:
        for benchmark, seconds in run.benchmark_seconds.items():
            self._metrics.measured(benchmark, seconds)
        self._metrics.run_ended(document, [each.name for each in run.work.benchmarks])

    def _watch_deadlines(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = {run: at for run in self._runs.values() for at in [run.ends_at()] if at}
                late = [run for run, at in due.items() if at <= now]
                if not late:
                    self._changed.wait(min(due.values()) - now if due else None)
                    continue
            for run in late:
                self.cancel(run.id, run.out_of_time())


def _draining() -> Draining:
    return Draining("this server is shutting down and accepts no new runs; try again after its restart")
