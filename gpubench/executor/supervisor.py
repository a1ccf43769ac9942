"""Supervises one run on a worker process: records its events, ends it on request, and goes on after a crash.

A worker that dies costs the benchmark that it was measuring, and the run goes on with the next one in a new
worker; a second death ends the run. Before that, a crash or a failed build gets one more try over an empty
cache of compiled kernels, which drivers believe without a check.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gpubench.devices.cache_folder import CacheFolder
from gpubench.errors import BuildFailed, DeviceLost, GpubenchError, from_wire
from gpubench.executor.messages import (
    Began,
    Cancel,
    Event,
    Finished,
    Found,
    Measured,
    Progressed,
    Run,
    Started,
)
from gpubench.executor.recorder import Recorder
from gpubench.executor.running_time import RunningTime
from gpubench.executor.worker_process import WorkerProcess
from gpubench.measure.no_figure import without_figure
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress

CANCEL_GRACE_SECONDS = 2.0
"""A worker checks for a cancel between samples; one that takes longer is stuck in a driver call."""

MAX_DEATHS = 2
"""Of workers, in a run that goes on after the first."""

_POLL_SECONDS = 0.05
_REASON_CHARACTERS = 300


class StopRequest:
    """A request to end a run, made from any thread; the first reason counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: GpubenchError | None = None

    def set(self, reason: GpubenchError) -> None:
        with self._lock:
            self._reason = self._reason or reason

    @property
    def reason(self) -> GpubenchError | None:
        return self._reason


class Replace(Protocol):
    """Ends the worker and returns a new one for the same device."""

    def __call__(self, *, empty_cache: bool) -> WorkerProcess: ...


def supervise(
    worker: WorkerProcess,
    run: Run,
    recorder: Recorder,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
    on_change: Callable[[RunDocument], None] = lambda document: None,
    replace: Replace | None = None,
) -> RunDocument:
    """Execute the run to its end and return its document; a run that fails raises nothing.

    ``on_change`` is called with the document when its device is known, before anything is measured, and when
    measurements have been added; the points of a curve arrive together and cause one call. Without
    ``replace``, the first death ends the run. If the outcome is ``device_lost``, or the worker did not obey
    ``stop``, the worker has been ended.
    """
    return _Supervision(run, recorder, stop, on_progress, on_change, replace).execute(worker)


class _Supervision:
    """One run, over one worker process or several."""

    def __init__(
        self,
        run: Run,
        recorder: Recorder,
        stop: StopRequest,
        on_progress: Callable[[Progress], None],
        on_change: Callable[[RunDocument], None],
        replace: Replace | None,
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._stop = stop
        self._on_progress = on_progress
        self._on_change = on_change
        self._replace = replace
        self._deaths = 0
        self._next = 0
        """The benchmark with which the next attempt begins."""
        self._began: int | None = None
        """The benchmark that the current attempt has begun last."""
        self._before = recorder.document
        """The document when that began."""
        self._may_retry = replace is not None
        self._suspect: _Suspect | None = None

    def execute(self, worker: WorkerProcess) -> RunDocument:
        self._recorder.started()
        while True:
            was_used = worker.is_used
            if worker.cache.note is not None:
                self._recorder.note(worker.cache.note)
            try:
                return self._recorder.finish(self._attempt(worker))
            except (DeviceLost, BuildFailed) as error:
                worker.end()
                try:
                    worker = self._next_worker(worker, was_used, error)
                except GpubenchError as final:
                    return self._recorder.finish(final)

    def _attempt(self, worker: WorkerProcess) -> GpubenchError | None:
        """Why the run ended early, or None; raises ``DeviceLost`` and ``BuildFailed`` if it may go on."""
        self._began, self._before = None, self._recorder.document
        worker.send(msgspec.structs.replace(self._run, first=self._next, retry_builds=self._may_retry))
        finished = self._record_events(worker)
        if finished is None:  # the worker did not obey the stop request
            worker.end()
            return self._stop.reason
        if finished.error:
            info = finished.error
            error = from_wire(info.code, info.message, {"kind": info.kind, "retryable": info.retryable})
            if isinstance(error, DeviceLost | BuildFailed):
                raise error
            return error
        return self._stop.reason if finished.cancelled else None

    def _next_worker(self, lost: WorkerProcess, was_used: bool, error: GpubenchError) -> WorkerProcess:
        """The worker with which the run goes on; raises the error with which it ends."""
        if self._stop.reason or self._replace is None:
            raise self._stop.reason or error
        at, document = self._began, self._recorder.document
        if was_used and document.environment is None:  # it died while it was idle
            return self._replace(empty_cache=False)
        is_untouched = at is None or len(document.measurements) == len(self._before.measurements)
        if self._may_retry and (isinstance(error, BuildFailed) or (lost.crashed and is_untouched)):
            self._may_retry = False
            self._next = self._next if at is None else at
            self._suspect = _Suspect(lost.cache, self._next, error.message)
            self._recorder.back_to(self._before)
            return self._replace(empty_cache=True)
        if lost.crashed and self._suspect and self._suspect.index == self._next:
            remedy = f": update the driver, or leave {self._run.benchmarks[self._next].name} out"
            error = DeviceLost(
                f"{error.message}; the same with an empty cache of compiled kernels ({lost.cache.room})"
                f"{remedy if error.retryable else ''}",
                retryable=False,
            )
        if at is None:
            raise error
        self._lose(self._run.benchmarks[at], error)
        self._deaths += 1
        self._next = at + 1
        if self._deaths == MAX_DEATHS or self._next == len(self._run.benchmarks):
            raise error
        return self._replace(empty_cache=False)

    def _lose(self, planned: PlannedBenchmark, error: GpubenchError) -> None:
        """The benchmark that a worker died in has no figure, and the document says so."""
        self._recorder.take(Measured(without_figure(planned, "failed", error.message)))
        self._on_change(self._recorder.document)

    def _settle_suspect(self) -> None:
        """A benchmark that failed, and now succeeded without the cache, shows that the cache is damaged."""
        suspect, self._suspect = self._suspect, None
        if suspect is None:
            return
        added = self._recorder.document.measurements[len(self._before.measurements) :]
        if all(each.status != "failed" for each in added):
            name = self._run.benchmarks[suspect.index].name
            self._recorder.note(
                f"{name} failed at first ({suspect.reason[:_REASON_CHARACTERS]}), and succeeded with an "
                f"empty cache of compiled kernels: {suspect.cache.discard()}"
            )

    def _record_events(self, worker: WorkerProcess) -> Finished | None:
        """Until the run is over; None if the worker does not end it in time after a stop request."""
        stopping: RunningTime | None = None
        changed = False
        while True:
            if self._stop.reason and stopping is None:
                worker.send(Cancel())
                stopping = RunningTime()
            if stopping is not None and stopping.seconds > CANCEL_GRACE_SECONDS:
                return None
            event = worker.receive(_POLL_SECONDS)
            if changed and not isinstance(event, Measured | Found):
                self._on_change(self._recorder.document)
                changed = False
            if event is None:
                continue
            self._take(event)
            changed = changed or isinstance(event, Measured)
            if isinstance(event, Started) and not self._recorder.document.measurements:
                self._on_change(self._recorder.document)
            if isinstance(event, Finished):
                return event

    def _take(self, event: Event) -> None:
        match event:
            case Progressed():
                self._on_progress(event.progress)
            case Began():
                if self._suspect and event.index > self._suspect.index:
                    self._settle_suspect()
                self._began, self._before = event.index, self._recorder.document
            case Finished(error=None, cancelled=False):
                self._settle_suspect()
                self._recorder.take(event)
            case _:
                self._recorder.take(event)


@dataclass(frozen=True)
class _Suspect:
    """The cache of compiled kernels over which the benchmark with this index failed."""

    cache: CacheFolder
    index: int
    reason: str
