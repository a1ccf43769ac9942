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

from gpubench.benchmarks.table import BENCHMARKS
from gpubench.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    GpubenchError,
    LimitExceeded,
    NoSuchRun,
    QueueFull,
    RunError,
    StoreError,
)
from gpubench.protocol.messages import Accepted, DeviceQueue, ErrorBody
from gpubench.results.document import ErrorInfo, RunDocument
from gpubench.results.store import Store
from gpubench_server.devices import Directory
from gpubench_server.lanes import Lane, queued
from gpubench_server.limits import Limits
from gpubench_server.lines import notification_line, raw_error_line, result_line
from gpubench_server.outbox import Ticket
from gpubench_server.runs import LiveRun

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
"""Told with a full queue where nothing is known of how long runs take here."""


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
                lane = self._lane(run.device.hardware_id)
                self._check_room(lane)
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
        ticket.answer(_answer(ticket, data))

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
                document = msgspec.structs.replace(document, error=_error_info(reason))
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
            self._lanes[hardware_id] = lane
            lane.start()
        return self._lanes[hardware_id]

    def _may_begin(self, run: LiveRun) -> bool:
        """Whether nobody uses the run's hardware, nor has waited for a part of it for longer."""
        hardware = self._hardware_of(run)
        for lane in self._lanes.values():
            earlier = [other for other in list(lane.queue)[:1] if other.queued_at < run.queued_at]
            if lane.running is not None:
                earlier.append(lane.running)
            if any(hardware & self._hardware_of(other) for other in earlier):
                return False
        return True

    def _hardware_of(self, run: LiveRun) -> set[str]:
        """What a run keeps busy: copies between peers go to every device of its runtime."""
        own = {run.device.hardware_id}
        copies = any(BENCHMARKS[each.name].family == "transfer" for each in run.work.benchmarks)
        if run.device.runtime != "cuda" or not copies:
            return own
        known = self._directory.known.devices
        return own | {device.hardware_id for device in known if device.runtime == "cuda"}

    def _check_room(self, lane: Lane) -> None:
        if self._draining:
            raise _stopping()
        length = len(lane.queue)
        if length >= self._limits.max_queue_length:
            eta = lane.seconds_before(1)
            raise QueueFull(
                f"{length} runs wait for this device already, and no more are taken; try again later",
                queue_length=length,
                retry_after_seconds=round(max(1.0, _RETRY_SECONDS if eta is None else eta), 1),
            )

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
                ticket.answer(_answer(ticket, data, unstored))
            self._changed.notify_all()

    def _watch_deadlines(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = {run.id: at for run in self._runs.values() for at in [self._ends_at(run)] if at}
                late = [run_id for run_id, at in due.items() if at <= now]
                if not late:
                    self._changed.wait(min(due.values()) - now if due else None)
                    continue
                runs = [self._runs[run_id] for run_id in late]
            for run in runs:
                self._expire(run)

    def _ends_at(self, run: LiveRun) -> float | None:
        """When a run's time is over; null where it was told so already."""
        if run.stop.reason:
            return None
        limit = run.started_at + self._limits.max_run_seconds if run.started_at is not None else None
        return min((at for at in (run.deadline_at, limit) if at is not None), default=None)

    def _expire(self, run: LiveRun) -> None:
        if run.deadline_at is not None and run.deadline_at <= time.monotonic():
            asked = run.deadline_at - run.queued_at
            reason = f"the run was not finished within its deadline of {asked:.3g} s, queue included"
        else:
            reason = f"this server lets no run take longer than {self._limits.max_run_seconds:g} s"
        self.cancel(run.id, DeadlineExceeded(reason))


def check_runs_of_client(open_tickets: int, limits: Limits) -> None:
    if open_tickets >= limits.max_runs_per_connection:
        raise LimitExceeded(
            f"{open_tickets} requests of this connection wait for runs already; "
            f"no more than {limits.max_runs_per_connection} are taken at a time"
        )


def no_such_run(run_id: str) -> NoSuchRun:
    return NoSuchRun(f"no run {run_id!r} is stored here; `results` lists those that are")


def _stopping() -> Draining:
    return Draining("this server is about to stop and takes no new runs; try again when it is back")


def _error_info(error: GpubenchError) -> ErrorInfo:
    return ErrorInfo(error.kind, error.code, error.message, error.retryable)


def _answer(ticket: Ticket, data: bytes, unstored: StoreError | None = None) -> bytes:
    """The one response to a request for a run: the document, or an error that carries it."""
    said = _Outcome.of(data)
    document = msgspec.Raw(data)
    if unstored is not None:
        error = ErrorInfo(unstored.kind, unstored.code, f"measured, but {unstored.message}", False)
    elif said.error is None or ticket.fetches:
        return result_line(ticket.request_id, document)
    else:
        error = said.error
    body = ErrorBody(
        error.code,
        error.message,
        {"kind": error.kind, "retryable": error.retryable, "document": document},
    )
    return raw_error_line(ticket.request_id, body)


class _Outcome(msgspec.Struct):
    """The one field of a stored document that decides how it is told."""

    error: ErrorInfo | None = None

    @classmethod
    def of(cls, data: bytes) -> _Outcome:
        return msgspec.json.decode(data, type=cls)
