"""Supervises one run on a worker process: records its events, and ends it on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gpubench.errors import DeviceLost, GpubenchError, from_wire
from gpubench.executor.messages import Cancel, Finished, Found, Measured, Progressed, Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress

CANCEL_GRACE_SECONDS = 2.0
"""A worker checks for a cancel between samples; one that takes longer is stuck in a driver call."""

_POLL_SECONDS = 0.05


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


def supervise(
    worker: WorkerProcess,
    run: Run,
    recorder: Recorder,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
    on_change: Callable[[RunDocument], None] = lambda document: None,
) -> RunDocument:
    """Execute the run to its end and return its document; a run that fails raises nothing.

    ``on_change`` is called with the document when measurements have been added; the points of a curve
    arrive together and cause one call. If the outcome is ``device_lost``, or the worker did not obey
    ``stop``, the worker has been ended.
    """
    recorder.started()
    try:
        worker.send(run)
        finished = _record_events(worker, recorder, stop, on_progress, on_change)
    except DeviceLost as lost:
        worker.end()
        return recorder.finish(stop.reason or lost)
    if finished is None:  # the worker did not obey the stop request
        worker.end()
        return recorder.finish(stop.reason)
    if finished.error:
        error = from_wire(finished.error.code, finished.error.message, {"kind": finished.error.kind})
        if isinstance(error, DeviceLost):
            worker.end()
        return recorder.finish(error)
    return recorder.finish(stop.reason if finished.cancelled else None)


def _record_events(
    worker: WorkerProcess,
    recorder: Recorder,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
    on_change: Callable[[RunDocument], None],
) -> Finished | None:
    """Until the run is over; None if the worker does not end it in time after ``stop``."""
    give_up_at: float | None = None
    changed = False
    while True:
        if stop.reason and give_up_at is None:
            worker.send(Cancel())
            give_up_at = time.monotonic() + CANCEL_GRACE_SECONDS
        if give_up_at is not None and time.monotonic() > give_up_at:
            return None
        event = worker.receive(_POLL_SECONDS)
        if changed and not isinstance(event, Measured | Found):
            on_change(recorder.document)
            changed = False
        if event is None:
            continue
        if isinstance(event, Progressed):
            on_progress(event.progress)
            continue
        recorder.take(event)
        changed = changed or isinstance(event, Measured)
        if isinstance(event, Finished):
            return event
