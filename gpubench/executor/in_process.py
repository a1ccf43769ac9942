"""A run in this process: no worker process stands between the caller and the device."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from gpubench.devices.base import Device
from gpubench.errors import Cancelled, GpubenchError, InternalError
from gpubench.executor.messages import Event, Progressed, Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.run_executor import RunExecutor
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now


def _ignore(progress: Progress) -> None:
    pass


class RecordingReporter:
    """Takes what a run reports into its run document.

    ``on_progress`` may raise ``Cancelled``: the run ends, and what was finished is kept.
    """

    def __init__(
        self, recorder: Recorder | None = None, on_progress: Callable[[Progress], None] = _ignore
    ) -> None:
        self.recorder = recorder or Recorder(uuid4().hex, key=None, created_at=now(), requested=[])
        self.cancelled: Cancelled | None = None
        self.callback_error: Exception | None = None
        self._on_progress = on_progress

    @property
    def document(self) -> RunDocument:
        """As far as the run has come."""
        return self.recorder.document

    def raise_if_cancelled(self) -> None:
        """Nobody else can cancel it: what runs in this thread is the run itself."""

    def send(self, event: Event) -> None:
        self.recorder.take(event)
        if isinstance(event, Progressed):
            try:
                self._on_progress(event.progress)
            except Cancelled as cancelled:
                self.cancelled = cancelled
                raise
            except Exception as error:
                self.callback_error = error
                self.cancelled = Cancelled("the progress callback raised an error")
                raise self.cancelled from error


def run_in_process(device: Device, run: Run, reporter: RecordingReporter) -> RunDocument:
    """Run it to its end and return the document; never raises for what became of the run.

    An interrupt (^C) and an error that ``on_progress`` raises end the run as a cancel does.
    """
    recorder = reporter.recorder
    recorder.started()
    try:
        finished = RunExecutor(device, reporter, run.memory).run(run)
    except GpubenchError as error:
        return recorder.finish(error)
    except KeyboardInterrupt:
        return recorder.finish(Cancelled("the run was interrupted"))
    except Exception as error:
        return recorder.finish(InternalError(f"the run failed: {type(error).__name__}: {error}"))
    recorder.take(finished)
    return recorder.finish(reporter.cancelled)
