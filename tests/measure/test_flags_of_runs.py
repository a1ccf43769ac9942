"""What is seen while a run measures: the flags of its own figures, and the telemetry of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gpubench.results.document import Flag, Measurement
from gpubench.results.machine import Telemetry
from tests.measure.conftest import GPU_PINNED, MIB, Collected, run_on
from tests.simulated import GPU, PROCESSOR, Conditions, SimulatedDevice

NOMINAL_HZ = 62_500_000
QUIET = Conditions(memory_clock_hz=NOMINAL_HZ, other_processes=0, kernels_busy_ratio=0.0)


@pytest.fixture
def gpu(simulated: SimulatedDevice) -> SimulatedDevice:
    """Undisturbed, at its nominal clock and at 80 % of its theory."""
    simulated.conditions = lambda seconds: QUIET
    return simulated


def figures(device: SimulatedDevice, *names: str, **parameters: Any) -> list[Measurement]:
    """In 4 MiB, which its cache does not hold."""
    usual = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 1.0, **GPU_PINNED}
    return run_on(device, *names, **{**usual, **parameters})[1].measurements


def flags(device: SimulatedDevice, **parameters: Any) -> list[Flag]:
    [measurement] = figures(device, "copy", **parameters)
    return measurement.flags


def always(**conditions: Any) -> Callable[[float], Conditions]:
    return lambda seconds: replace(QUIET, **conditions)


def test_a_good_run_has_no_flags(gpu: SimulatedDevice) -> None:
    assert flags(gpu) == []


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"memory_clock_hz": NOMINAL_HZ * 94 // 100}, ["clock_limited"]),
        ({"memory_clock_hz": NOMINAL_HZ * 96 // 100}, []),
        ({"limits": ["power"]}, ["power_limited"]),
        ({"limits": ["hardware_slowdown", "thermal"]}, ["power_limited", "thermal_limited"]),
        ({"limits": ["application_clocks"]}, []),
        ({"others_busy_ratio": 0.2}, ["contended"]),
        ({"others_busy_ratio": 0.05}, []),
        ({"other_processes": 1}, ["contended"]),
        ({"throttled_seconds": 0.5}, ["throttled"]),
        ({"throttled_seconds": 1e-6}, []),
    ],
)
def test_what_is_seen_meanwhile_is_flagged(
    gpu: SimulatedDevice, conditions: dict[str, Any], found: list[Flag]
) -> None:
    """Not before: the device was idle when the run began."""
    begin, seen = gpu.clock.seconds, always(**conditions)
    gpu.conditions = lambda seconds: seen(seconds) if seconds > begin + 0.1 else QUIET
    assert flags(gpu) == found


def test_a_figure_is_held_against_the_live_clock_too(gpu: SimulatedDevice) -> None:
    gpu.conditions = always(memory_clock_hz=NOMINAL_HZ * 98 // 100)
    [m] = figures(gpu, "copy")
    assert m.efficiency_ratio.nominal == pytest.approx(0.8)
    assert m.efficiency_ratio.live_clock == pytest.approx(0.8 / 0.98)
    gpu.pace = lambda work: 123.5e6  # 98.8 % of the nominal peak
    [m] = figures(gpu, "copy")
    assert m.efficiency_ratio.nominal and m.efficiency_ratio.nominal < 1
    assert m.flags == ["over_theory"]


def test_overclocked_memory_may_exceed_its_nominal_peak(gpu: SimulatedDevice) -> None:
    """And not that of the clock that it ran at; a clock that no overclock reaches is not believed."""
    gpu.pace = lambda work: 130e6  # 104 % of the nominal peak
    for percent, found in ((100, ["over_theory"]), (107, []), (103, ["over_theory"]), (200, ["over_theory"])):
        gpu.conditions = always(memory_clock_hz=NOMINAL_HZ * percent // 100)
        assert flags(gpu) == found, percent


def test_a_footprint_that_caches_hold_is_flagged(gpu: SimulatedDevice) -> None:
    """32 times 64 KiB keep the cache out."""
    assert flags(gpu, footprint_bytes=MIB) == ["cached_footprint"]
    gpu.info = msgspec.structs.replace(GPU, last_level_cache_bytes=None)
    assert flags(gpu) == ["cached_footprint", "cache_unknown"]


def test_a_device_that_slows_down_drifts(gpu: SimulatedDevice) -> None:
    begin = gpu.clock.seconds
    gpu.pace = lambda work: 100e6 if work.seconds < begin + 4.0 else 90e6
    [m] = figures(gpu, "copy", time_limit_seconds=6.0, stop="time")
    assert m.flags == ["unstable", "drifting"]
    assert m.trend_ratio == pytest.approx(0.1, rel=0.2)


def test_two_paces_by_turns_are_unstable(gpu: SimulatedDevice) -> None:
    gpu.pace = lambda work: 100e6 if len(gpu.runs) % 2 else 80e6
    [m] = figures(gpu, "copy", time_limit_seconds=6.0)
    assert m.bimodal
    assert "unstable" in m.flags


def test_only_the_figure_that_was_disturbed_is_flagged(gpu: SimulatedDevice) -> None:
    reporter = Collected()

    def conditions(seconds: float) -> Conditions:
        second = bool(reporter.heard) and reporter.heard[-1].benchmark == "read"
        return always(limits=["thermal"] if second else [])(seconds)

    gpu.conditions = conditions
    copy, read, write = figures(gpu, "copy", "read", "write", reporter=reporter)
    assert (copy.flags, read.flags, write.flags) == ([], ["thermal_limited"], [])


def test_the_telemetry_of_a_run_is_that_of_its_samplings(gpu: SimulatedDevice) -> None:
    """Looks are counted from the begin of the run; what the device does between samplings is not watched."""
    gpu.conditions = always(watts=200.0, celsius=55.0)
    begin = gpu.clock.seconds
    finished, told = run_on(
        gpu, "copy", "read", footprint_bytes=4 * MIB, time_limit_seconds=2.0, **GPU_PINNED
    )
    looks = [look.seconds for look in finished.telemetry.samples]
    assert looks == sorted(looks)
    assert 0 < looks[0] < looks[-1] <= gpu.clock.seconds - begin
    sampled = sum(sum(m.samples_seconds) for m in told.measurements)
    assert finished.telemetry.energy_joules == pytest.approx(200.0 * sampled, rel=0.3)
    assert finished.telemetry.energy_joules < 200.0 * (gpu.clock.seconds - begin)
    assert {(look.power_watts, look.temperature_celsius) for look in finished.telemetry.samples} == {
        (200, 55)
    }
    assert finished.telemetry.before and finished.telemetry.before.idle


def test_why_nothing_was_watched_is_kept(gpu: SimulatedDevice) -> None:
    gpu.unwatched = "NVML: Driver Not Loaded"
    finished, told = run_on(gpu, "copy", footprint_bytes=4 * MIB, **GPU_PINNED)
    assert finished.telemetry == Telemetry(absent="NVML: Driver Not Loaded", before=finished.telemetry.before)
    assert told.measurements[0].efficiency_ratio.live_clock is None


def test_a_processor_has_neither_clock_nor_theory(simulated: SimulatedDevice) -> None:
    simulated.info = PROCESSOR
    simulated.conditions = lambda seconds: Conditions(others_busy_ratio=0.03)
    [m] = figures(simulated, "read")
    assert (m.flags, m.efficiency_ratio.nominal) == ([], None)
