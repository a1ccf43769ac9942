"""Finds devices, each runtime in a worker process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from gpubench.devices.process_limits import limit_reached
from gpubench.errors import DeviceLost
from gpubench.executor.messages import Probe, Probed
from gpubench.executor.running_time import MAX_STEP_SECONDS, RunningTime
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.machine import RuntimeStatus


def probe(runtimes: Sequence[str], timeout_seconds: float = 60.0) -> Probed:
    """The devices of ``runtimes``, found by worker processes that end with this call."""
    with workers_for(runtimes) as workers:
        return devices_of(workers, timeout_seconds)


@contextlib.contextmanager
def workers_for(runtimes: Sequence[str]) -> Iterator[dict[str, WorkerProcess]]:
    """One worker for each runtime; those still in the dictionary are ended with the context."""
    workers: dict[str, WorkerProcess] = {}
    try:
        for name in runtimes:
            workers[name] = WorkerProcess()
        yield workers
    except OSError as error:
        raise limit_reached(error) or error from None
    finally:
        for worker in workers.values():
            worker.end()


def devices_of(workers: Mapping[str, WorkerProcess], timeout_seconds: float = 60.0) -> Probed:
    """The devices that each worker finds for the runtime that is its key.

    A driver that crashes or hangs while it loads affects only its own runtime, which is then listed as
    unavailable with the reason.
    """
    for name, worker in workers.items():
        with contextlib.suppress(DeviceLost):  # reported when its answer is waited for
            worker.send(Probe(runtimes=[name]))
    asking = RunningTime()
    answers = [_answer(name, worker, asking, timeout_seconds) for name, worker in workers.items()]
    return Probed(
        devices=[device for answer in answers for device in answer.devices],
        runtimes=[status for answer in answers for status in answer.runtimes],
        failed=[name for answer in answers for name in answer.failed],
    )


def _answer(name: str, worker: WorkerProcess, asking: RunningTime, timeout_seconds: float) -> Probed:
    reason = f"looking for devices took longer than {timeout_seconds:g} s"
    try:
        while (left_seconds := timeout_seconds - asking.seconds) > 0:
            event = worker.receive(min(left_seconds, MAX_STEP_SECONDS / 2))
            if isinstance(event, Probed):
                return event
    except DeviceLost as error:
        reason = error.message
    status = RuntimeStatus(name=name, available=False, reason=reason)  # type: ignore[arg-type]
    return Probed(devices=[], runtimes=[status], failed=[name])
