"""Finds devices, each runtime in a worker process of its own; if need be, each OpenCL driver too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping, Sequence
from typing import NamedTuple

from gpubench.devices.opencl import drivers
from gpubench.devices.process_limits import limit_reached
from gpubench.devices.runtimes import status_of
from gpubench.errors import DeviceLost
from gpubench.executor.messages import Probe, Probed
from gpubench.executor.running_time import MAX_STEP_SECONDS, RunningTime
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.machine import DriverStatus, RuntimeStatus

TIMEOUT_SECONDS = 60.0
"""On large machines, drivers take half a minute to load."""


class _Answer(NamedTuple):
    """``lost`` is why there is no answer."""

    probed: Probed | None
    lost: str = ""


def probe(
    runtimes: Sequence[str],
    timeout_seconds: float = TIMEOUT_SECONDS,
    leave_out: Sequence[DriverStatus] = (),
) -> Probed:
    """The devices of ``runtimes``, found by worker processes that end with this call."""
    with workers_for(runtimes) as workers:
        return devices_of(workers, timeout_seconds, leave_out)


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


def devices_of(
    workers: MutableMapping[str, WorkerProcess],
    timeout_seconds: float = TIMEOUT_SECONDS,
    leave_out: Sequence[DriverStatus] = (),
) -> Probed:
    """The devices that each worker finds for the runtime that is its key.

    A driver that crashes or hangs while it loads affects only its own runtime, which is then listed as
    unavailable with the reason, and its worker taken out of ``workers``. OpenCL has many drivers: if its
    worker does not answer, each driver is asked alone, for as long again, and only those that are at fault
    are listed as lost. Drivers in ``leave_out`` are not loaded, and listed as they are.
    """
    skipped = {each.library: each for each in leave_out}
    libraries = None
    if skipped:
        libraries = [each.library for each in drivers.installed() if each.library not in skipped]
    asked = {name: Probe([name], libraries if name == "opencl" else None) for name in workers}
    answers = _ask(workers, asked, timeout_seconds)
    found = []
    for name, answer in answers.items():
        if answer.probed is None:
            workers.pop(name).end()
        probed = answer.probed or _lost(name, answer.lost, libraries, timeout_seconds)
        found.append(_with_drivers(probed, list(skipped.values())) if name == "opencl" else probed)
    return Probed(
        devices=[device for each in found for device in each.devices],
        runtimes=[status for each in found for status in each.runtimes],
        failed=[name for each in found for name in each.failed],
    )


def _ask(
    workers: MutableMapping[str, WorkerProcess], asked: dict[str, Probe], timeout_seconds: float
) -> dict[str, _Answer]:
    for name, worker in workers.items():
        with contextlib.suppress(DeviceLost):  # reported when its answer is waited for
            worker.send(asked[name])
    asking = RunningTime()
    return {name: _answer(worker, asking, timeout_seconds) for name, worker in workers.items()}


def _answer(worker: WorkerProcess, asking: RunningTime, timeout_seconds: float) -> _Answer:
    try:
        while True:
            # What is there is read even if another worker, which hangs, has taken all of the time.
            left_seconds = max(timeout_seconds - asking.seconds, 0.0)
            event = worker.receive(min(left_seconds, MAX_STEP_SECONDS / 2))
            if isinstance(event, Probed):
                return _Answer(event)
            if event is None and not left_seconds:
                break
    except DeviceLost as error:
        return _Answer(None, error.message)
    return _Answer(None, f"looking for devices took longer than {timeout_seconds:g} s")


def _lost(name: str, reason: str, libraries: list[str] | None, timeout_seconds: float) -> Probed:
    """What can still be found out about a runtime whose worker did not answer."""
    if name == "opencl":
        installed = [each for each in drivers.installed() if libraries is None or each.library in libraries]
        if len(installed) > 0:
            return _each_alone(installed, timeout_seconds)
    status = RuntimeStatus(name=name, available=False, reason=reason)  # type: ignore[arg-type]
    return Probed(devices=[], runtimes=[status], failed=[name])


def _each_alone(installed: Sequence[drivers.Driver], timeout_seconds: float) -> Probed:
    """Every OpenCL driver in a worker of its own, all at once."""
    by_library = {each.library: each for each in installed}
    with workers_for(list(by_library)) as workers:
        asked = {library: Probe(["opencl"], [library]) for library in workers}
        answers = _ask(workers, asked, timeout_seconds)
    devices, statuses = [], []
    for library, (probed, lost) in answers.items():
        if probed is None:
            reason = f"it was left out: loaded alone, {lost.partition(';')[0]}"
            statuses.append(DriverStatus(by_library[library].source, library, "lost", reason))
            continue
        devices += probed.devices
        statuses += [driver for runtime in probed.runtimes for driver in runtime.drivers]
    status = status_of("opencl", bool(devices), statuses)
    return Probed(devices, [status], failed=[] if devices else ["opencl"])


def _with_drivers(probed: Probed, more: list[DriverStatus]) -> Probed:
    if not more:
        return probed
    [status] = probed.runtimes
    changed = status_of("opencl", bool(probed.devices), [*status.drivers, *more])
    return Probed(probed.devices, [changed], probed.failed)
