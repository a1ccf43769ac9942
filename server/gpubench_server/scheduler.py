"""Which run goes where and when: lanes, deadlines, cancelling, and telling those who wait.

One lock guards lanes and runs and is held for moments only; the store is written without it. A run
is stored when it is accepted and when it ends, each time before anybody is told.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gpubench.errors import Cancelled, Draining, GpubenchError, RunError, StoreError
from gpubench.protocol.messages import Accepted, DeviceQueue
from gpubench.results.document import ErrorInfo, RunDocument
from gpubench.results.store import Store
from gpubench_server.devices import Directory
from gpubench_server.lanes import Lane, queued
from gpubench_server.limits import Limits
from gpubench_server.lines import notification_line, run_line
from gpubench_server.outbox import Ticket
from gpubench_server.runs import LiveRun, no_such_run

log = logging.getLogger(__name__)


class Tally(Protocol):
    """Who is told what became of runs."""

    def run_started(self, wait_seconds: float) -> None: ...

    def measured(self, benchmark: str, seconds: float) -> None: ...

    def run_ended(self, document: RunDocument, benchmarks: list[str]) -> None: ...


@dataclass(frozen=True)
class LaneState:
    """One lane at a moment: ids of runs, and the devices that share it."""

    hardware_id: str
    running: LiveRun | None
    waiting: list[LiveRun]


class Scheduler:
    """All runs that are not finished."""

    def __init__(self, store: Store, directory: Directory, tally: Tally, limits: Limits) -> None:
        self._store = store
        self._directory = directory
        self._tally = tally
        self._limits = limits
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._submitting = threading.RLock()
        self._lanes: dict[str, Lane] = {}
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
                lane = self._lane(run.device.hardware_id)
                lane.check_room()
            self._store.accept(document, request, run.device.id, benchmarks)
            with self._lock:
                self._runs[run.id] = run
                run.tickets.append(ticket)
                place = lane.put(run)
                eta = lane.seconds_before(place)
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
            waiting = self._lane(run.device.hardware_id).remove(run)
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

    def lanes(self) -> list[LaneState]:
        with self._lock:
            return [LaneState(name, lane.running, list(lane.queue)) for name, lane in self._lanes.items()]

    def queues(self) -> list[DeviceQueue]:
        """By device; the views of one piece of hardware show the runs of each."""
        states = {state.hardware_id: state for state in self.lanes()}
        shown = []
        for device in self._directory.known.devices:
            state = states.get(device.hardware_id)
            running = state.running.id if state and state.running else None
            waiting = [run.id for run in state.waiting] if state else []
            shown.append(DeviceQueue(device.id, running, waiting))
        return shown

    def waiting(self) -> set[str]:
        """The ids of the runs that have not begun."""
        return {run.id for state in self.lanes() for run in state.waiting}

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
        """End the lanes and their workers; ``drain`` comes before."""
        lanes = list(self._lanes.values())
        enders = [threading.Thread(target=lane.end, args=(timeout_seconds,)) for lane in lanes]
        for thread in enders:
            thread.start()
        for thread in enders:
            thread.join(timeout_seconds)

    # Inside.

    def _lane(self, hardware_id: str) -> Lane:
        if hardware_id not in self._lanes:
            lane = Lane(
                self._changed,
                self._limits,
                self._directory,
                may_begin=self._may_begin,
                on_start=self._started,
                on_change=self._measured,
                on_end=self._conclude,
            )
            lane.start()  # first: one that cannot start must not be there for the next run
            self._lanes[hardware_id] = lane
        return self._lanes[hardware_id]

    def _may_begin(self, run: LiveRun) -> bool:
        """Whether nobody uses the run's hardware, nor has waited for a part of it for longer."""
        devices = self._directory.known.devices
        hardware = run.hardware(devices)
        for lane in self._lanes.values():
            earlier = [other for other in list(lane.queue)[:1] if other.queued_at < run.queued_at]
            if lane.running is not None:
                earlier.append(lane.running)
            if any(hardware & other.hardware(devices) for other in earlier):
                return False
        return True

    def _started(self, run: LiveRun) -> None:
        run.measured_at = time.monotonic()
        self._tally.run_started(run.measured_at - run.queued_at)
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
            self._tally.measured(benchmark, seconds)
        self._tally.run_ended(document, [each.name for each in run.work.benchmarks])
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
