"""The wait for an idle device: real processes that are in the way, and devices that others use as stated."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gpubench.devices.base import Device
from gpubench.devices.profile import profile_of
from gpubench.errors import Cancelled
from gpubench.measure.idle import WINDOW_SECONDS, is_busy, wait_for_idle, wait_limit_seconds
from gpubench.results.machine import IdleGate, Telemetry, Usage
from tests.measure.conftest import GPU_PINNED, MIB, Collected, run_on
from tests.simulated import PROCESSOR, Conditions, SimulatedClock, SimulatedDevice

SMALL = {"footprint_bytes": MIB, **GPU_PINNED}

BUSY = Conditions(kernels_busy_ratio=0.9, other_processes=1)
QUIET = Conditions(kernels_busy_ratio=0.02, other_processes=0)


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


def until(seconds: float, busy: Conditions = BUSY) -> Callable[[float], Conditions]:
    """Busy for so long, and quiet from then on."""
    return lambda now: busy if now < SimulatedClock().seconds + seconds else QUIET


def gate(device: Device, limit_seconds: float = 60.0, told: list[str] | None = None) -> IdleGate:
    told = [] if told is None else told
    return wait_for_idle(device, limit_seconds, lambda: None, told.append)


@pytest.mark.timing
def test_a_busy_process_is_seen_and_waited_for_up_to_the_limit(device: Device) -> None:
    told: list[str] = []
    with somebody_busy():
        found = gate(device, 0.3, told)
    assert not found.idle
    assert found.waited_seconds >= 0.3
    assert found.usage.others_busy_ratio is not None and found.usage.others_busy_ratio > 0.1
    assert told and "of the processors" in told[0]


DESKTOP = Conditions(
    kernels_busy_ratio=0.4, memory_busy_ratio=0.2, other_processes=1, processes=("gnome-shell (process 7)",)
)
AT_WORKING_CLOCKS = replace(DESKTOP, kernels_busy_ratio=0.03, memory_busy_ratio=0.01)


def test_a_desktop_is_judged_at_working_clocks(simulated: SimulatedDevice) -> None:
    """A compositor uses 40 % of a GPU at 210 MHz, and 3 % of one that works."""
    simulated.conditions = lambda seconds: AT_WORKING_CLOCKS if simulated.runs else DESKTOP
    finished, told = run_on(
        simulated, "copy", time_limit_seconds=1.0, **{**SMALL, "footprint_bytes": 4 * MIB}
    )
    before = finished.telemetry.before
    assert before is not None and before.idle
    assert before.usage.kernels_busy_ratio == 0.03
    assert before.waited_seconds < 1.0
    assert finished.telemetry.processes == ["gnome-shell (process 7)"]
    assert told.measurements[0].flags == []


def test_a_desktop_that_disturbs_the_samples_is_flagged(simulated: SimulatedDevice) -> None:
    """Each third sample meets a frame that is drawn, and takes 4 % longer."""
    simulated.conditions = lambda seconds: AT_WORKING_CLOCKS if simulated.runs else DESKTOP
    simulated.pace = lambda work: 100e6 if len(simulated.runs) % 3 else 96e6
    _, told = run_on(simulated, "copy", time_limit_seconds=1.0, **{**SMALL, "footprint_bytes": 4 * MIB})
    assert "contended" in told.measurements[0].flags


def test_a_game_is_busy_at_any_clock(simulated: SimulatedDevice) -> None:
    game = replace(DESKTOP, kernels_busy_ratio=0.9, memory_busy_ratio=0.5)
    simulated.conditions = lambda seconds: game if simulated.runs else DESKTOP
    finished, told = run_on(
        simulated, "copy", time_limit_seconds=1.0, **{**SMALL, "footprint_bytes": 4 * MIB}
    )
    assert finished.telemetry.before and not finished.telemetry.before.idle
    assert "contended" in told.measurements[0].flags
    assert "used by gnome-shell (process 7)" in {p.message for p in told.heard if p.message}.pop()


def test_a_use_that_is_not_known_yet_is_waited_for(simulated: SimulatedDevice) -> None:
    """After work of our own NVML's last second is ours: the clocks were raised, and nothing is known."""
    begin = simulated.clock.seconds

    def conditions(seconds: float) -> Conditions:
        if not simulated.runs:
            return DESKTOP
        return (
            replace(AT_WORKING_CLOCKS, kernels_busy_ratio=None)
            if seconds < begin + 1.3
            else AT_WORKING_CLOCKS
        )

    simulated.conditions = conditions
    finished, _ = run_on(simulated, "copy", time_limit_seconds=1.0, **SMALL)
    before = finished.telemetry.before
    assert before and before.idle and before.usage.kernels_busy_ratio == 0.03


def test_figures_measured_beside_other_programs_are_flagged(
    simulated: SimulatedDevice,
) -> None:
    """The document has the reason."""
    simulated.info = PROCESSOR
    simulated.conditions = lambda seconds: Conditions(others_busy_ratio=0.63)
    finished, told = run_on(simulated, "read", time_limit_seconds=0.2, **SMALL)
    before = finished.telemetry.before
    assert before is not None
    assert (before.idle, before.usage.others_busy_ratio) == (False, 0.63)
    assert "contended" in told.measurements[0].flags
    assert {p.message for p in told.heard if p.message} == {
        "waiting for an idle device: others use 63.0 % of the processors"
    }


@pytest.mark.parametrize(("busy_seconds", "flagged"), [(3.0, True), (0.0, False)])
def test_a_wait_in_vain_flags_what_is_measured_after_it(
    simulated: SimulatedDevice, busy_seconds: float, flagged: bool
) -> None:
    """Also when nothing is seen while it is measured."""
    simulated.conditions = until(busy_seconds)
    simulated.unwatched = "the test hides it"
    finished, told = run_on(simulated, "read", time_limit_seconds=2.0, **SMALL)
    assert ("contended" in told.measurements[0].flags) == flagged
    before = finished.telemetry.before
    assert before and before.usage.other_processes == flagged


def test_who_asks_for_little_waits_little(simulated: SimulatedDevice) -> None:
    """As long as the quickest benchmark samples, and the look that ends the wait."""
    simulated.info = PROCESSOR
    simulated.conditions = lambda seconds: Conditions(others_busy_ratio=0.5)
    finished, _ = run_on(simulated, "read", time_limit_seconds=0.17, **SMALL)
    assert finished.telemetry.before
    assert finished.telemetry.before.waited_seconds == pytest.approx(4 * WINDOW_SECONDS)


def test_the_wait_for_a_gpu_covers_its_utilisation_window() -> None:
    """NVML's utilisation covers the last second: only later can a reading show that the GPU is idle."""
    gpu, processor = profile_of("gpu"), profile_of("cpu")
    assert wait_limit_seconds(gpu, [0.1, 2.0]) > 1.0
    assert wait_limit_seconds(gpu, [60.0]) == wait_limit_seconds(gpu, [120.0, 60.0]) == 5.0
    assert wait_limit_seconds(processor, [0.1, 2.0]) == 0.1


@pytest.mark.timing
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


def test_a_quiet_device_costs_one_look(simulated: SimulatedDevice) -> None:
    simulated.conditions = until(0.0)
    begin = simulated.clock.seconds
    found = gate(simulated)
    assert (found.idle, found.waited_seconds) == (True, 0.0)
    assert found.usage == Usage(kernels_busy_ratio=0.02, other_processes=0)
    assert simulated.clock.seconds == begin


def test_the_wait_for_an_idle_device_takes_fresh_readings(simulated: SimulatedDevice) -> None:
    simulated.conditions, told = until(0.08), list[str]()
    found = gate(simulated, told=told)
    assert found.idle
    assert found.waited_seconds == pytest.approx(2 * WINDOW_SECONDS)
    assert (
        told
        == ["waiting for an idle device: it runs kernels 90.0 % of the time, 1 other programs compute on it"]
        * 2
    )


def test_a_device_that_stays_busy_is_waited_for_up_to_the_limit(simulated: SimulatedDevice) -> None:
    simulated.conditions = until(10.0)
    found = gate(simulated, 0.3)
    assert (found.idle, found.usage.other_processes) == (False, 1)
    assert 0.3 <= found.waited_seconds < 0.3 + 2 * WINDOW_SECONDS


def test_a_device_that_cannot_tell_is_not_waited_for(simulated: SimulatedDevice) -> None:
    assert gate(simulated).idle


@pytest.mark.parametrize(
    ("usage", "busy"),
    [
        (Usage(others_busy_ratio=0.1), False),
        (Usage(others_busy_ratio=0.11), True),
        (Usage(kernels_busy_ratio=0.1, other_processes=0), False),
        (Usage(kernels_busy_ratio=0.5), True),
        (Usage(kernels_busy_ratio=0.0, other_processes=1), False),  # it holds a context, and does no more
        (Usage(other_processes=1), True),
        (Usage(kernels_busy_ratio=0.05, memory_busy_ratio=0.06), True),
        (Usage(kernels_busy_ratio=0.05, memory_busy_ratio=0.05), False),
    ],
)
def test_what_is_in_the_way(usage: Usage, busy: bool) -> None:
    assert is_busy(usage) == busy


def test_a_cancel_is_heard_while_waiting(simulated: SimulatedDevice) -> None:
    simulated.conditions = until(60.0)
    begin = simulated.clock.seconds

    def check() -> None:
        if simulated.clock.seconds > begin + 0.12:
            raise Cancelled("never mind")

    with pytest.raises(Cancelled):
        wait_for_idle(simulated, 60.0, check, lambda _: None)
    assert simulated.clock.seconds == pytest.approx(begin + 3 * WINDOW_SECONDS)


def test_a_cancelled_wait_ends_the_run_without_a_figure(simulated: SimulatedDevice) -> None:
    simulated.conditions = until(60.0)
    told = Collected(cancel_when=lambda told: any(p.message for p in told.heard))
    finished, _ = run_on(simulated, "read", time_limit_seconds=60, reporter=told, **SMALL)
    assert finished.cancelled
    assert told.measurements == []
    assert finished.telemetry == Telemetry()
