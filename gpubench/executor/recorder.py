"""Builds the run document from a worker's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gpubench.errors import (
    BenchmarkFailed,
    Cancelled,
    DeadlineExceeded,
    DeviceLost,
    GpubenchError,
    Unsupported,
    VerificationFailed,
)
from gpubench.executor.messages import Event, Finished, Found, Measured, Started, Tuned
from gpubench.measure.annotate import theory_of_run
from gpubench.results.document import ErrorInfo, Measurement, Outcome, RunDocument
from gpubench.results.timestamps import now


class Recorder:
    """The document of one run as it grows; each change makes a new document."""

    def __init__(
        self,
        run_id: str,
        *,
        key: str | None,
        created_at: str,
        requested: list[dict[str, Any]],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._document = RunDocument(
            run_id=run_id,
            outcome="failed",
            key=key,
            created_at=created_at,
            requested=requested,
            labels=dict(labels or {}),
        )
        self._notes: list[str] = []

    @property
    def document(self) -> RunDocument:
        return self._document

    def started(self) -> None:
        """The run leaves the queue."""
        self._change(started_at=now())

    def back_to(self, document: RunDocument) -> None:
        """Forget what was added since; a benchmark will be repeated."""
        self._document = document

    def note(self, text: str) -> None:
        """Add to the notes of the environment, once it is known."""
        self._notes.append(text)
        if self._document.environment is not None:
            environment = msgspec.structs.replace(self._document.environment, notes=list(self._notes))
            self._change(environment=environment)

    def take(self, event: Event) -> None:
        """Add what an event reports; events that report no result are ignored."""
        document = self._document
        match event:
            case Started():
                self._change(
                    device=event.device,
                    environment=msgspec.structs.replace(event.environment, notes=list(self._notes)),
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
                    theory=theory_of_run(document.theory, event.telemetry),
                    environment=msgspec.structs.replace(
                        document.environment, clocks_after=event.clocks_after
                    ),
                )
            case _:
                pass

    def finish(self, error: GpubenchError | None) -> RunDocument:
        """The final document; ``error`` is why the run ended early, or None if it reached its end."""
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
    """The error of a run that reached its end, if any of its measurements failed, or if it has no figure."""
    unverified = [each for each in document.measurements if each.status == "unverified"]
    if unverified:
        return VerificationFailed(f"verification of {_names(unverified)} failed: {unverified[0].reason}")
    failed = [each for each in document.measurements if each.status == "failed"]
    if failed:
        return BenchmarkFailed(f"{_names(failed)} failed: {failed[0].reason}")
    skipped = document.measurements
    if skipped and all(each.status == "skipped" for each in skipped):
        return Unsupported(f"nothing was measured: {_names(skipped)} skipped: {skipped[0].reason}")
    return None


def _names(measurements: list[Measurement]) -> str:
    """Each benchmark once, however many points it has."""
    return ", ".join(dict.fromkeys(each.benchmark for each in measurements))


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
