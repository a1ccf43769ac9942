"""Decides which run goes where and when: queues, deadlines, cancellation, and the end of each run.

One lock guards the device queues and the runs. It is held only briefly; the store is written without it.
A run is stored when it is accepted and when it ends, each time before any client is informed. Detached runs
that wait when a server ends, however that happens, wait on in the store for the next one.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable

import msgspec

from gpubench.errors import (
    Cancelled,
    DeviceLost,
    Draining,
    Forbidden,
    GpubenchError,
    InvalidDocument,
    RunError,
)
from gpubench.protocol.messages import Accepted
from gpubench.results.connections import turn
from gpubench.results.database import BUSY_SECONDS
from gpubench.results.document import ErrorInfo, RunDocument
from gpubench.results.machine import DeviceInfo
from gpubench.results.store import Store
from gpubench_server.deadlines import Conclude, Deadlines
from gpubench_server.device_queue import DeviceQueue, queued_progress
from gpubench_server.device_queues import DeviceQueues
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.encode import error_line, notification_line, run_line
from gpubench_server.fair_use import check_share
from gpubench_server.limits import Limits
from gpubench_server.live_run import Answer, LiveRun, no_answer, no_such_run
from gpubench_server.live_runs import LiveRuns
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Ticket
from gpubench_server.principals import Principal
from gpubench_server.run_records import RunRecords
from gpubench_server.vital import VitalThreads
from gpubench_server.waiting_runs import find_devices, take_up

log = logging.getLogger(__name__)


class Scheduler(LiveRuns):
    """All runs that have not ended."""

    def __init__(
        self,
        store: Store,
        registry: DeviceRegistry,
        metrics: MetricsState,
        limits: Limits,
        threads: VitalThreads,
    ) -> None:
        self._registry = registry
        self._records = RunRecords(store, metrics)
        self._threads = threads
        self._submitting = threading.RLock()
        changed = threading.Condition(threading.RLock())

        def new_queue(may_start: Callable[[LiveRun], bool]) -> DeviceQueue:
            return DeviceQueue(
                changed,
                limits,
                registry,
                threads,
                may_start=may_start,
                on_start=self._started,
                on_change=self._records.changed,
                on_end=self._conclude,
            )

        super().__init__(store, limits, changed, DeviceQueues(registry, new_queue))

    def start(self) -> None:
        """Take up the runs that waited for an earlier server; raises ``StoreError``."""
        self._records.start(self._threads)
        waiting = list(take_up(self._store, self._limits))
        with self._lock:
            for run in waiting:
                self._runs[run.id] = run
                self.newest = run.id
                run.report(queued_progress(run.id, self._queues.of(run).put(run)))
        Deadlines(self._changed, self._runs.values, self.cancel, self._conclude).start(self._threads)
        if waiting:
            search = functools.partial(
                find_devices, waiting, self._registry, self._device_found, self._device_lost
            )
            self._threads.start("devices of waiting runs", search)

    def _device_found(self, run: LiveRun, device: DeviceInfo) -> None:
        with self._lock:
            run.device, run.device_known = device, True
            run.work = msgspec.structs.replace(run.work, device=device.id, library=device.library)
            self._changed.notify_all()

    def _device_lost(self, run: LiveRun, error: DeviceLost) -> None:
        self.cancel(run.id, error)

    # Requests.

    def submit(self, run: LiveRun, request: str, ticket: Ticket) -> None:
        """Queue a run, or join the run that already has its key.

        Raises ``Draining``, ``LimitExceeded``, ``QueueFull``, ``KeyConflict`` and ``StoreError``.
        """
        key = run.recorder.document.key
        # Of two requests with one key, the second finds the first.
        with turn(self._submitting, BUSY_SECONDS):
            if key is not None and self.replay(key, request, ticket, run.detached):
                return
            with self._lock:
                if self._draining:
                    raise _draining()
                queue = self._queues.of(run)
                check_share(run, self._runs.values(), queue.waiting, self._limits)
                queue.check_room()
            self._records.accepted(run, request)
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
            self._end_waiting(run.id)

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
        # A run that is being submitted is in the store, but not yet live.
        with turn(self._submitting, BUSY_SECONDS):
            known = self._store.find_key(key, request)
            if known is None:
                return False
            if detach and self._is_attached(known.run_id):
                self._store.detach(known.run_id)  # before the client is told
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

        Raises ``NoSuchRun``, ``InvalidDocument`` if the document is damaged, and ``Draining`` for a run that
        the next server takes up.
        """
        notification = notification_line("accepted", accepted) if accepted else None
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None:
                run.detached |= detach
                run.join(ticket, notification)
                return
            self._check_not_put_off(run_id)
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

    def _is_attached(self, run_id: str) -> bool:
        with self._lock:
            run = self._runs.get(run_id)
            return run is not None and not run.detached

    def _check_not_put_off(self, run_id: str) -> None:
        if run_id in self._put_off:
            raise _put_off(run_id)

    def cancel(
        self,
        run_id: str,
        reason: GpubenchError,
        by: Principal | None = None,
        *,
        conclude: Conclude | None = None,
    ) -> bool:
        """End a run; false if it is not live. ``conclude`` takes the place of ending one that waits at once.

        Raises ``Forbidden`` if it is not for ``by`` to do that, and ``Draining`` for a run that waits for the
        next server.
        """
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                if by is not None:
                    self._check_not_put_off(run_id)
                return False
            if by is not None and by != run.owner and not by.cancels_all:
                raise Forbidden(
                    f"run {run_id} is of {run.owner}, and only its owner and the role admin may cancel it"
                )
            waiting = self._queues.of(run).remove(run)
            stop = reason if isinstance(reason, RunError) else Cancelled(reason.message)
            run.stop.set(stop)
        if waiting:
            document = run.recorder.finish(stop)
            if stop is not reason:
                document = msgspec.structs.replace(document, error=ErrorInfo.of(reason))
            (conclude or self._conclude)(run, document)
        return True

    def abandon(self, ticket: Ticket) -> None:
        """The client of this request is gone: cancel the run, unless others wait for it."""
        with self._lock:
            left = [run for run in self._runs.values() if run.leave(ticket) and run.abandoned]
        for run in left:
            self.cancel(run.id, Cancelled("the client that requested this run is gone"))

    # The end.

    def drain(self) -> None:
        """Accept no new runs, and put those that wait off or cancel them; the running ones go on."""
        with self._lock:
            self._draining = True
        for run_id in self.waiting():
            self._end_waiting(run_id)

    def _end_waiting(self, run_id: str) -> None:
        """A detached run stays in the store for the next server; the client of any other can ask again."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None and run.detached:
                if self._queues.of(run).remove(run):  # else it has started meanwhile
                    self._put_off.add(run_id)
                    del self._runs[run_id]
                    run.respond(lambda ticket: error_line(ticket.request_id, _put_off(run_id)))
                    self._changed.notify_all()
                return
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
        self._queues.end(timeout_seconds)

    # Inside.

    def _started(self, run: LiveRun) -> None:
        self._records.started(run)
        with self._lock:
            self._changed.notify_all()  # the time limit of a run counts from its start

    def _conclude(self, run: LiveRun, document: RunDocument) -> None:
        """Store the document, then respond to the requests that wait for it, whatever goes wrong here."""

        def apologise(ticket: Ticket) -> bytes:
            return error_line(ticket.request_id, no_answer(run.id))

        answer: Answer = apologise
        try:
            answer = self._records.ended(document)
            self._records.count(run, document)
            log.info("run %s: %s", run.id, document.outcome, extra=run.log_fields())
        except Exception:
            log.exception("run %s: its end was not processed completely", run.id)
            self._store.keep(document)
        with self._lock:
            self._runs.pop(run.id, None)
            run.respond(answer)
            self._changed.notify_all()


def _draining() -> Draining:
    return Draining("this server is shutting down and accepts no new runs; try again after its restart")


def _put_off(run_id: str) -> Draining:
    return Draining(
        f"this server is shutting down; run {run_id} is waiting and will be executed after the restart: "
        "request its result then, or send the run again with its key",
        run_id=run_id,
    )
