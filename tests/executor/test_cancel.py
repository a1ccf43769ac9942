"""Every family of benchmarks, with default parameters, obeys a cancel within half a second."""

from __future__ import annotations

import time

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import Cancelled
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now

LIMIT_SECONDS = 0.5
ONE_OF_EACH_FAMILY = {row.family: name for name, row in BENCHMARKS.items()}.values()


class CancelAt:
    """Cancels the run at the first progress of a phase, and keeps the time of that."""

    def __init__(self, phase: str, stop: StopRequest) -> None:
        self._phase = phase
        self._stop = stop
        self.asked_at = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.phase == self._phase and not self._stop.reason:
            self.asked_at = time.monotonic()
            self._stop.set(Cancelled("the test cancelled"))


@pytest.mark.timing
@pytest.mark.parametrize("phase", ["starting", "measuring"])
@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_a_cancel_takes_effect(worker: WorkerProcess, device_id: str, name: str, phase: str) -> None:
    stop = StopRequest()
    cancel = CancelAt(phase, stop)
    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    document = supervise(worker, Run(device_id, plan([name])), recorder, stop, cancel)
    took = time.monotonic() - cancel.asked_at
    assert document.outcome == "cancelled", document.error
    assert took < LIMIT_SECONDS, f"{name}: {took:.2f} s"
