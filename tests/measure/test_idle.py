"""The wait for an idle device: real processes that are in the way, and looks as GPUs would answer them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpubench.devices.base import Device
from gpubench.devices.profile import profile_of
from gpubench.errors import Cancelled
from gpubench.measure.idle import WINDOW_SECONDS, is_busy, wait_for_idle, wait_limit_seconds
from gpubench.results.machine import IdleGate, Telemetry, Usage
from tests.measure.conftest import PINNED, Collected, Measure

BUSY, QUIET = Usage(kernels_busy_ratio=0.9, other_processes=1), Usage(kernels_busy_ratio=0.02)


@contextmanager
def somebody_busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that uses all that it gets of one processor, from before this returns."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


class Looks:
    """A device of which nothing is asked but its usage; the last look stays."""

    def __init__(self, *looks: Usage) -> None:
        self.looks = list(looks)
        self.taken = 0

    def usage(self, window_seconds: float) -> Usage:
        self.taken += 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def gate(device: Any, limit_seconds: float = 60.0, told: list[str] | None = None) -> IdleGate:
    told = [] if told is None else told
    return wait_for_idle(device, limit_seconds, lambda: None, told.append)


def test_a_busy_process_is_seen_and_waited_for_up_to_the_limit(device: Device) -> None:
    told: list[str] = []
    with somebody_busy():
        found = gate(device, 0.3, told)
    assert not found.idle
    assert found.waited_seconds >= 0.3
    assert found.usage.others_busy_ratio is not None and found.usage.others_busy_ratio > 0.1
    assert told and "of the processors" in told[0]


def test_what_is_measured_beside_others_is_flagged_and_the_document_says_why(measure: Measure) -> None:
    with somebody_busy():
        finished, told = measure("read", time_limit_seconds=0.2, **PINNED)
    before = finished.telemetry.before
    assert before is not None
    assert not before.idle
    assert "contended" in told.measurements[0].flags
    (waiting,) = {p.message.split(":")[0] for p in told.heard if p.message}
    assert waiting == "waiting for an idle device"


class Unwatched:
    """Of what happens while a benchmark runs nothing is seen: only the looks before are left."""

    def stop(self) -> Telemetry:
        return Telemetry()


@pytest.mark.parametrize(("usage", "flagged"), [(BUSY, True), (QUIET, False)])
def test_a_wait_in_vain_flags_what_is_measured_after_it(
    device: Device, measure: Measure, monkeypatch: pytest.MonkeyPatch, usage: Usage, flagged: bool
) -> None:
    monkeypatch.setattr(device, "usage", lambda window_seconds: usage)
    monkeypatch.setattr(device, "watch", Unwatched)
    finished, told = measure("read", **PINNED)
    assert ("contended" in told.measurements[0].flags) == flagged
    assert finished.telemetry.before and finished.telemetry.before.usage == usage


def test_who_asks_for_little_waits_little(measure: Measure) -> None:
    with somebody_busy():
        finished, _ = measure("read", time_limit_seconds=0.05, **PINNED)
    assert finished.telemetry.before
    assert finished.telemetry.before.waited_seconds < 0.5


def test_a_gpu_is_waited_for_until_a_look_can_show_that_it_is_free() -> None:
    gpu, processor = profile_of("gpu"), profile_of("cpu")
    assert wait_limit_seconds(gpu, [0.1, 2.0]) > 1.0
    assert wait_limit_seconds(gpu, [60.0]) == wait_limit_seconds(gpu, [120.0, 60.0]) == 5.0
    assert wait_limit_seconds(processor, [0.1, 2.0]) == 0.1


def test_our_own_work_is_nobody_elses(device: Device) -> None:
    """Of a thread of this process; what other programs do at the same time is in both figures."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(10_000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        ours = min(device.usage(0.2).others_busy_ratio or 0.0 for _ in range(5))
    finally:
        ended.set()
        thread.join()
    with somebody_busy():
        theirs = min(device.usage(0.2).others_busy_ratio or 0.0 for _ in range(5))
    assert ours < theirs


def test_a_quiet_device_costs_one_look() -> None:
    device = Looks(QUIET)
    found = gate(device)
    assert (found.idle, found.usage, device.taken) == (True, QUIET, 1)


def test_a_device_that_becomes_quiet_is_waited_for_with_fresh_looks() -> None:
    device, told = Looks(BUSY, BUSY, QUIET), list[str]()
    found = gate(device, told=told)
    assert (found.idle, found.usage, device.taken) == (True, QUIET, 3)
    assert found.waited_seconds >= 2 * WINDOW_SECONDS * 0.9
    assert (
        told
        == ["waiting for an idle device: it runs kernels 90.0 % of the time, 1 other programs compute on it"]
        * 2
    )


def test_a_device_that_cannot_tell_is_not_waited_for() -> None:
    assert gate(Looks(Usage())).idle


@pytest.mark.parametrize(
    ("usage", "busy"),
    [
        (Usage(others_busy_ratio=0.1), False),
        (Usage(others_busy_ratio=0.11), True),
        (Usage(kernels_busy_ratio=0.1, other_processes=0), False),
        (Usage(kernels_busy_ratio=0.5), True),
        (Usage(kernels_busy_ratio=0.0, other_processes=1), True),
    ],
)
def test_what_is_in_the_way(usage: Usage, busy: bool) -> None:
    assert is_busy(usage) == busy


def test_a_cancel_is_heard_while_waiting() -> None:
    device = Looks(BUSY)

    def check() -> None:
        if device.taken == 3:
            raise Cancelled("never mind")

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        wait_for_idle(device, 60.0, check, lambda _: None)  # type: ignore[arg-type]
    assert time.monotonic() - begin < 5


def test_a_cancelled_wait_ends_the_run_without_a_figure(measure: Measure) -> None:
    told = Collected(cancel_when=lambda told: any(p.message for p in told.heard))
    with somebody_busy():
        finished, _ = measure("read", time_limit_seconds=60, reporter=told, **PINNED)
    assert finished.cancelled
    assert told.measurements == []
    assert finished.telemetry == Telemetry()
