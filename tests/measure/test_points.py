"""What was timed is what is verified: whole samples, and what builds up over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from gpubench.benchmarks.strided import OFFSETS, STRIDES
from gpubench.devices.base import Device, Launch, Operation
from gpubench.measure import points, run_context
from gpubench.measure.stop_decision import StopDecision
from tests.measure.conftest import GPU_PINNED, MIB, Collected, Measure, run_on
from tests.simulated import SimulatedDevice


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "COLD_LIMIT_SECONDS", 0.05)


class Forgetful(SimulatedDevice):
    """A runtime that comes to do nothing of several launches at once; each alone is well."""

    well = 0
    """How often it still does all of them."""

    def run(self, operations: Sequence[Operation]) -> float:
        if len(operations) > 1:
            self.well -= 1
        if len(operations) == 1 or self.well >= 0:
            return super().run(operations)
        self.clock.sleep(1e-3)
        return 1e-3


@pytest.mark.parametrize(("name", "well"), [("copy", 0), ("occupancy", 0), ("occupancy", 100)])
def test_passes_that_are_lost_together_are_found(simulated: SimulatedDevice, name: str, well: int) -> None:
    """Of points in turns also if that begins when each has been checked for the first time."""
    device = Forgetful(clock=simulated.clock, pace=lambda work: 2e9)
    device.well = well
    counted = {"stop": "count", "samples": 50, "time_limit_seconds": None}
    _, told = run_on(device, name, footprint_bytes=MIB, **counted, **GPU_PINNED)
    assert device.well < 0
    assert {m.status for m in told.measurements} == {"unverified"}


def test_a_timed_walk_that_stood_still_is_found(measure: Measure) -> None:
    """In its third pass after the walk began anew, behind the verified sample: in the fifth sample."""
    follow = "state[0] = (u64)follow("
    faults = (("latency.cl", follow, f"if (state[1] != 2 * steps) {follow}"),)
    counted = {"stop": "count", "samples": 6, "time_limit_seconds": 60}
    _, told = measure("latency", footprint_bytes=MIB, faults=faults, **counted)
    assert {m.status for m in told.measurements} == {"unverified"}


class LastGoesOn:
    """Two samples for each of ``count`` points, and six for the last one."""

    def __init__(self, count: int) -> None:
        self._asked, self._others_end = 0, 2 * count

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        self._asked += 1
        wanted = 2 if self._asked < self._others_end else 6
        return StopDecision("count_reached", {"samples": wanted}) if len(samples_seconds) >= wanted else None


def test_the_last_open_point_finds_no_own_data_in_the_caches(
    device: Device, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strides, which are timed cold: between two passes of one there is always one of another."""
    count = len(STRIDES) + len(OFFSETS) - 1
    rule = LastGoesOn(count)
    monkeypatch.setattr(points, "stopping_rule", lambda *_: rule)
    passes: list[object] = []
    run, told = device.run, Collected()

    def remember(operations: Sequence[Operation]) -> float:
        first = operations[0]
        if told.heard[-1].phase == "measuring" and isinstance(first, Launch):
            passes.append((first.kernel, first.arguments))
        return run(operations)

    monkeypatch.setattr(device, "run", remember)
    measure("strided", footprint_bytes=4 * MIB, reporter=told)
    assert [len(m.samples_seconds) for m in told.measurements] == [2] * (count - 1) + [6]
    assert all(before != after for before, after in pairwise(passes[: 2 * count + 4]))


class SlowHost(SimulatedDevice):
    """Begins each run that ``is_late`` says before it is queued, and so takes half as long again."""

    def is_late(self, number: int) -> bool:
        return number % 3 == 0

    def run(self, operations: Sequence[Operation]) -> float:
        seconds = super().run(operations)
        if len(operations) < 2 or not self.is_late(len(self.runs)):  # only samples have several passes here
            return seconds
        self.late_starts += 1
        self.clock.sleep(0.5 * seconds)
        return 1.5 * seconds


@pytest.mark.parametrize("name", ["copy", "occupancy"])
def test_samples_that_began_too_early_are_discarded(simulated: SimulatedDevice, name: str) -> None:
    """Alone and in turns; each is counted, and none is in the figure."""
    device = SlowHost(clock=simulated.clock, pace=lambda work: 4e9)
    counted = {"stop": "count", "samples": 30, "time_limit_seconds": None}
    _, told = run_on(device, name, footprint_bytes=MIB, **counted, **GPU_PINNED)
    measured = [m for m in told.measurements if m.passes_per_sample and m.passes_per_sample > 1]
    assert measured
    for m in measured:
        assert (m.status, m.verified, len(m.samples_seconds)) == ("ok", True, 30), m.reason
        assert max(m.samples_seconds) < 1.01 * min(m.samples_seconds)
    assert sum(m.discarded_samples for m in measured) >= 10 * len(measured)


def test_a_host_that_is_always_late_gives_no_figure(simulated: SimulatedDevice) -> None:
    device = SlowHost(clock=simulated.clock, pace=lambda work: 4e9)
    device.is_late = lambda number: True  # type: ignore[method-assign]
    [m] = run_on(device, "copy", footprint_bytes=MIB, time_limit_seconds=1.0, **GPU_PINNED)[1].measurements
    assert (m.status, m.bandwidth_bytes_per_second) == ("failed", None)
    assert "10 samples in a row began before the host had queued them" in (m.reason or "")
