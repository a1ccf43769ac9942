"""Conduct one run on a worker, and keep what it told, whatever becomes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gpubench.errors import (
    BenchmarkFailed,
    Cancelled,
    DeadlineExceeded,
    DeviceLost,
    GpubenchError,
    VerificationFailed,
    from_wire,
)
from gpubench.executor.messages import (
    Cancel,
    Event,
    Finished,
    Found,
    Measured,
    Progressed,
    Run,
    Started,
    Tuned,
)
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.document import ErrorInfo, Measurement, Outcome, RunDocument
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now

CANCEL_GRACE_SECONDS = 2.0
"""A worker looks for a cancel between samples; one that does not is stuck in a driver call."""

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


class Recorder:
    """The run document as it grows."""

    def __init__(
        self, run_id: str, *, key: str | None, created_at: str, requested: list[dict[str, Any]]
    ) -> None:
        self._document = RunDocument(
            run_id=run_id, outcome="failed", key=key, created_at=created_at, requested=requested
        )

    @property
    def document(self) -> RunDocument:
        return self._document

    def started(self) -> None:
        self._change(started_at=now())

    def take(self, event: Event) -> None:
        document = self._document
        match event:
            case Started():
                self._change(
                    device=event.device,
                    environment=event.environment,
                    theory=event.theory,
                    explanations=event.explanations,
                )
            case Tuned():
                self._change(tuning=[*document.tuning, event.tuning])
            case Measured():
                self._change(measurements=[*document.measurements, event.measurement])
            case Found():
                self._change(findings=[*document.findings, event.finding])
            case Finished() if document.environment is not None:
                self._change(
                    telemetry=event.telemetry,
                    environment=msgspec.structs.replace(
                        document.environment, clocks_after=event.clocks_after
                    ),
                )
            case _:
                pass

    def finish(self, error: GpubenchError | None) -> RunDocument:
        """The whole document; ``error`` is why the run ended before its end, if it did."""
        error = error or _worst(self._document)
        self._change(
            outcome=_outcome(error),
            error=ErrorInfo.of(error) if error else None,
            finished_at=now(),
        )
        return self._document

    def _change(self, **fields: Any) -> None:
        self._document = msgspec.structs.replace(self._document, **fields)


def _worst(document: RunDocument) -> GpubenchError | None:
    """What is wrong with a run that came to its end, by its measurements."""
    wrong = [m for m in document.measurements if m.status == "unverified"]
    if wrong:
        return VerificationFailed(f"the data were wrong after {_names(wrong)}: {wrong[0].reason}")
    failed = [m for m in document.measurements if m.status == "failed"]
    if failed:
        return BenchmarkFailed(f"{_names(failed)} failed: {failed[0].reason}")
    return None


def _names(measurements: list[Measurement]) -> str:
    """Each benchmark once, however many points it has."""
    return ", ".join(dict.fromkeys(m.benchmark for m in measurements))


def _outcome(error: GpubenchError | None) -> Outcome:
    match error:
        case None:
            return "ok"
        case Cancelled():
            return "cancelled"
        case DeadlineExceeded():
            return "timeout"
        case DeviceLost():
            return "device_lost"
        case VerificationFailed():
            return "unverified"
        case _:
            return "failed"


def supervise(
    worker: WorkerProcess,
    run: Run,
    recorder: Recorder,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
    on_change: Callable[[RunDocument], None] = lambda document: None,
) -> RunDocument:
    """Run it to its end and return the document; never raises for what became of the run.

    ``on_change`` is told the document when measurements were added to it; the points of a curve
    come together and are told as one. After a
    ``device_lost`` outcome, or a ``stop`` that the worker did not obey, the worker is gone.
    """
    recorder.started()
    try:
        worker.send(run)
        finished = _listen(worker, recorder, stop, on_progress, on_change)
    except DeviceLost as lost:
        worker.end()
        return recorder.finish(stop.reason or lost)
    if finished is None:  # asked to stop, and did not
        worker.end()
        return recorder.finish(stop.reason)
    if finished.error:
        said = finished.error
        error = from_wire(said.code, said.message, {"kind": said.kind})
        if isinstance(error, DeviceLost):
            worker.end()
        return recorder.finish(error)
    return recorder.finish(stop.reason if finished.cancelled else None)


def _listen(
    worker: WorkerProcess,
    recorder: Recorder,
    stop: StopRequest,
    on_progress: Callable[[Progress], None],
    on_change: Callable[[RunDocument], None],
) -> Finished | None:
    give_up_at: float | None = None
    untold = False
    while True:
        if stop.reason and give_up_at is None:
            worker.send(Cancel())
            give_up_at = time.monotonic() + CANCEL_GRACE_SECONDS
        if give_up_at is not None and time.monotonic() > give_up_at:
            return None
        event = worker.receive(_POLL_SECONDS)
        if untold and not isinstance(event, Measured | Found):
            on_change(recorder.document)
            untold = False
        if event is None:
            continue
        if isinstance(event, Progressed):
            on_progress(event.progress)
            continue
        recorder.take(event)
        untold = untold or isinstance(event, Measured)
        if isinstance(event, Finished):
            return event
