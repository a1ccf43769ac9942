"""Detached runs that an earlier server accepted and did not start: this one takes them up.

They keep their ids, keys, owners, deadlines and order, and no limit of this server refuses them, because
they were acknowledged. Their benchmarks are planned again from the request, because the program may have been
updated, and their devices are looked up again, because device numbers change.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import msgspec

from gpubench import typed
from gpubench.errors import DeviceLost, GpubenchError, Interrupted, NoSuchDevice, StoreError
from gpubench.executor.messages import Run
from gpubench.executor.prepare import plan_again
from gpubench.executor.recorder import Recorder
from gpubench.requests import StatedMemory
from gpubench.results.document import RunDocument
from gpubench.results.machine import DeviceInfo
from gpubench.results.store import Store
from gpubench.results.timestamps import milliseconds
from gpubench.results.unfinished import Terms, WaitingRun
from gpubench_server.device_registry import RETRY_SECONDS, DeviceRegistry
from gpubench_server.fair_use import max_memory_share_ratio, max_run_seconds
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun
from gpubench_server.principals import Principal

log = logging.getLogger(__name__)

_SEARCH_SECONDS = 120.0
"""For the devices of runs that were taken up, if the search for devices fails at first, as during a boot."""


class _Terms(msgspec.Struct, frozen=True):
    """What is stored of a run that waits, beside its document."""

    owner: Principal
    device: DeviceInfo
    memory: StatedMemory | None = None
    deadline_seconds: float | None = None
    """From its acceptance, including the time in which no server runs."""


def terms_of(run: LiveRun) -> Terms:
    """For the store, when the run is accepted."""
    deadline = None if run.deadline_at is None else run.deadline_at - run.queued_at
    return Terms(run.detached, msgspec.json.encode(_Terms(run.owner, run.device, run.work.memory, deadline)))


def take_up(store: Store, limits: Limits) -> Iterator[LiveRun]:
    """The runs of the store that wait, in their order; one that cannot be taken up ends with the reason.

    Raises ``StoreError``.
    """
    earlier = float("-inf")
    for waiting in store.waiting():
        recorder = _recorder(waiting.document)
        try:
            run = _live_run(waiting, recorder, limits)
        except Exception as error:
            # Whatever is wrong with it: no run may keep the server from starting.
            if not isinstance(error, GpubenchError):
                log.exception("run %s cannot be taken up", recorder.document.run_id)
            reason = Interrupted(
                f"the server stopped before this run had started, and it cannot be taken up again: {error}; "
                "send a new request"
            )
            with contextlib.suppress(StoreError):  # then it is kept in memory, and stored later
                store.finish(recorder.finish(reason))
        else:
            run.queued_at = earlier = max(earlier, run.queued_at)  # the clock may have been set back between
            log.info("run %s: taken up, accepted from %s before the restart", run.id, run.owner)
            yield run


def find_devices(
    runs: list[LiveRun],
    registry: DeviceRegistry,
    found: Callable[[LiveRun, DeviceInfo], object],
    lost: Callable[[LiveRun, DeviceLost], object],
) -> None:
    """Wait for the first search for devices, then call ``found`` or ``lost`` for each run, in their order.

    While searches fail, the runs without a device wait for the next one.
    """
    until = time.monotonic() + _SEARCH_SECONDS
    while runs:
        runs = [run for run in runs if not _is_decided(run, registry, found, lost, time.monotonic() > until)]
        if runs:
            time.sleep(RETRY_SECONDS)


def _is_decided(
    run: LiveRun,
    registry: DeviceRegistry,
    found: Callable[[LiveRun, DeviceInfo], object],
    lost: Callable[[LiveRun, DeviceLost], object],
    last: bool,
) -> bool:
    try:
        device = registry.find_again(run.device)
    except (DeviceLost, NoSuchDevice) as missing:
        if isinstance(missing, DeviceLost) and not last:
            return False
        lost(
            run,
            DeviceLost(
                f"the device of this run, {run.device.id} ({run.device.name}), was not found after the "
                f"server was restarted: {missing.message}"
            ),
        )
    else:
        found(run, device)
    return True


def _live_run(waiting: WaitingRun, recorder: Recorder, limits: Limits) -> LiveRun:
    document = waiting.document
    terms = typed.decode(waiting.terms, _Terms)
    owner, device = terms.owner, terms.device
    queued_at = time.monotonic() - _age_seconds(document)
    return LiveRun(
        id=document.run_id,
        device=device,
        work=Run(
            device.id,
            plan_again(document.requested),
            terms.memory,
            library=device.library,
            max_memory_share_ratio=max_memory_share_ratio(owner),
        ),
        recorder=recorder,
        deadline_at=None if terms.deadline_seconds is None else queued_at + terms.deadline_seconds,
        detached=True,
        owner=owner,
        max_seconds=max_run_seconds(owner, limits),
        queued_at=queued_at,
        taken_up=True,
        device_known=False,
    )


def _recorder(document: RunDocument) -> Recorder:
    return Recorder(
        document.run_id,
        key=document.key,
        created_at=document.created_at,
        requested=document.requested,
        labels=document.labels,
    )


def _age_seconds(document: RunDocument) -> float:
    """Since the run was accepted; 0 if that is in the future, because the clock was set back."""
    accepted_ms = milliseconds(document.created_at)
    return 0.0 if accepted_ms is None else max(0.0, time.time() - accepted_ms / 1000)
