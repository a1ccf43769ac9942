"""Launches are counted by their marks, and their time is that of one."""

from __future__ import annotations

import pytest

from gpubench.benchmarks.launch import BATCHES, LONG_BATCH, findings
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.errors import BenchmarkFailed
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Measurement, Shape, Summary
from tests.measure.conftest import MIB, Measure, run_on
from tests.simulated import SimulatedDevice

QUICK = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 0.02}


def test_each_batch_has_the_time_of_one_launch(measure: Measure) -> None:
    _, told = measure("launch", **QUICK)
    full = max(int(m.axes["groups"]) for m in told.measurements)
    expected = [(1, n) for n in (*BATCHES, LONG_BATCH)] + [(full, n) for n in BATCHES]
    assert [(m.axes["groups"], m.axes["launches"]) for m in told.measurements] == expected
    for m in told.measurements:
        assert (m.status, m.verified, m.quantity, m.unit) == ("ok", True, "latency", "s")
        assert m.latency_seconds
        assert m.passes_per_sample == 1
        assert m.accesses == m.axes["launches"]
        assert m.latency_seconds.min == min(m.samples_seconds) / int(m.axes["launches"])
        assert m.bandwidth_bytes_per_second is None
        assert "cached_footprint" not in m.flags
    assert [f.name for f in told.findings] == ["floor", "queued", "unqueued", "sound_footprint"]
    floor, *_, sound = told.findings
    assert floor.value and sound.value and sound.value > 100 * floor.value


def test_the_floor_is_what_a_launch_costs(simulated: SimulatedDevice) -> None:
    """10 us, alone and in a row; a pass over 1 MiB takes a hundred times as long."""
    simulated.launch_seconds = 10e-6
    simulated.pace = lambda work: MIB / 1e-3
    _, told = run_on(simulated, "launch", footprint_bytes=MIB, time_limit_seconds=0.02)
    found = {f.name: f.value for f in told.findings}
    for name in ("floor", "queued", "unqueued"):
        assert found[name] == pytest.approx(10e-6, rel=0.01)
    assert found["sound_footprint"] == pytest.approx(MIB, rel=0.02)


@pytest.mark.parametrize(("refused", "said"), [(1, True), (1000, False)])
def test_shapes_that_do_not_run_are_passed_over(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, refused: int, said: bool
) -> None:
    """As many OpenCL GPUs refuse the largest groups."""
    verify, asked = StreamTask.run_and_verify, 0

    def refuse(task: StreamTask, shape: Shape) -> VerificationResult:
        nonlocal asked
        asked += 1
        if asked <= refused:
            raise BenchmarkFailed("the device refused it")
        return verify(task, shape)

    monkeypatch.setattr(StreamTask, "run_and_verify", refuse)
    _, told = measure("launch", **QUICK)
    assert {m.status for m in told.measurements} == {"ok"}
    assert ("sound_footprint" in [f.name for f in told.findings]) == said


FAULTS = {
    "launch 7 does nothing": (
        "if (LOCAL_ID == 0 && number != 7) marks",
        lambda groups, launches: launches > 7,
    ),
    "the second group does nothing": (
        "if (LOCAL_ID == 0 && GROUP_ID != 1) marks",
        lambda groups, launches: groups > 1,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_launch_or_a_group_that_does_nothing_is_found(measure: Measure, fault: str) -> None:
    new, is_wrong = FAULTS[fault]
    _, told = measure("launch", faults=(("launch.cl", "if (LOCAL_ID == 0) marks", new),), **QUICK)
    for m in told.measurements:
        wrong = is_wrong(m.axes["groups"], m.axes["launches"])
        assert m.status == ("unverified" if wrong else "ok"), m
        assert bool(m.first_mismatches) == wrong
        assert (m.latency_seconds is None) == wrong


def point(
    groups: int, launches: int, seconds: float, low: float | None = None, high: float | None = None
) -> Measurement:
    low, high = low or seconds, high or seconds
    summary = Summary(seconds, low, high, low, high, low, high)
    axes: dict[str, int | float | str] = {"groups": groups, "launches": launches}
    return Measurement("launch", {}, "ok", axes=axes, latency_seconds=summary)


def test_the_sound_footprint_is_what_a_hundred_floors_read() -> None:
    measured = [point(1, 1, 2e-6), point(16, 1, 3e-6), point(1, BATCHES[-1], 1e-6)]
    found = {each.name: each.value for each in findings("launch", measured, 1e12)}
    assert found == {"floor": 2e-6, "queued": 1e-6, "sound_footprint": pytest.approx(200e6)}
    assert [f.name for f in findings("launch", measured, None)] == ["floor", "queued"]


def test_a_floor_that_is_hardly_known_is_told_with_its_interval() -> None:
    """Half of the samples lie below their median: it is what a launch usually costs, and no least."""
    floor, sound = findings("launch", [point(1, 1, 1.27e-6, 0.74e-6, 5.5e-6)], 2**30 * 10)
    assert (floor.value, sound.value) == (1.27e-6, pytest.approx(1.27e-4 * 2**30 * 10))
    assert floor.text.startswith("1.27 µs (740 ns to 5.5 µs): ")
    assert floor.text.endswith("the usual cost of any sample")
    assert sound.text.startswith(
        "a pass over less than 1.3 MiB (775.9 KiB to 5.632 MiB), read at about 10.74 GB/s, takes less than "
    )
    floor, sound = findings("launch", [point(1, 1, 1e-6, 0.99e-6, 1.01e-6)], 1e12)
    assert floor.text.startswith("1 µs: ")
    assert sound.text.startswith("a pass over less than 95.37 MiB, read")
