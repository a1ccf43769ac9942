"""How often is sampled, for how long and after which warm-up, on a device whose times are known exactly."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.results.document import Measurement
from tests.measure.conftest import GPU_PINNED, MIB, PINNED, run_on
from tests.simulated import PROCESSOR, Conditions, SimulatedDevice, Work

PACE = 100e6
PASS_SECONDS = 2 * MIB / PACE
"""Of a copy within 2 MiB: 21 ms."""


def copied(device: SimulatedDevice, **parameters: Any) -> Measurement:
    """A copy within 2 MiB, each sample of which is one pass."""
    _, told = run_on(device, "copy", **{"footprint_bytes": 2 * MIB, **GPU_PINNED, **parameters})
    [measurement] = told.measurements
    assert measurement.status == "ok", measurement.reason
    return measurement


def only_streams(pace: Callable[[float], float]) -> Callable[[Work], float]:
    """A pace over time for what is timed, and the usual one for what fills and checks."""

    def of(work: Work) -> float:
        timed = work.kernel is not None and work.kernel.name.startswith("stream_")
        return pace(work.seconds) if timed else PACE

    return of


def slowing(device: SimulatedDevice) -> Callable[[Work], float]:
    """So quickly that no two windows agree."""
    begin = device.clock.seconds
    return only_streams(lambda seconds: PACE * 2 ** (begin - seconds))


@pytest.mark.parametrize("name", STREAM)
def test_a_figure_is_the_bus_bytes_over_the_devices_seconds(simulated: SimulatedDevice, name: str) -> None:
    _, told = run_on(simulated, name, footprint_bytes=2 * MIB, **GPU_PINNED)
    [m] = told.measurements
    assert m.bandwidth_bytes_per_second and m.bus_bytes
    assert m.bandwidth_bytes_per_second.median == pytest.approx(PACE)
    assert m.samples_seconds == pytest.approx([m.bus_bytes / PACE] * len(m.samples_seconds))
    assert m.efficiency_ratio.nominal == pytest.approx(0.8)
    assert m.efficiency_ratio.live_clock is None


@pytest.mark.parametrize(
    ("kind", "shape", "least_seconds"), [("gpu", GPU_PINNED, 5e-3), ("cpu", PINNED, 1e-3)]
)
def test_passes_are_put_together_until_a_sample_is_long_enough(
    simulated: SimulatedDevice, kind: str, shape: dict[str, Any], least_seconds: float
) -> None:
    """A pass of 0.21 ms: five of them on a processor, 24 on a GPU."""
    simulated.info = PROCESSOR if kind == "cpu" else simulated.info
    simulated.pace = lambda work: 5e9
    m = copied(simulated, footprint_bytes=MIB, **shape)
    assert m.passes_per_sample == {"cpu": 5, "gpu": 24}[kind]
    assert least_seconds < min(m.samples_seconds) < least_seconds + MIB / 5e9


def test_a_steady_series_lasts_a_fifth_of_the_limit(simulated: SimulatedDevice) -> None:
    """20, 30, 45 and 68 samples of 21 ms are less than 2 s; the next look is after 102."""
    m = copied(simulated, time_limit_seconds=10.0)
    assert len(m.samples_seconds) == 102
    assert (m.stop_code, m.stop_values["samples"]) == ("precision_reached", 102)


def test_a_noisy_series_ends_at_the_limit(simulated: SimulatedDevice) -> None:
    noise = random.Random(1)
    simulated.pace = only_streams(lambda seconds: PACE * noise.uniform(0.8, 1.2))
    m = copied(simulated, time_limit_seconds=2.0)
    assert 2.0 <= sum(m.samples_seconds) < 2.0 + 1.3 * PASS_SECONDS
    assert (m.stop_code, m.stop_unmet_code) == ("time_limit", "wide_interval")
    assert "unstable" in m.flags


def test_a_count_and_a_time_are_kept_to(simulated: SimulatedDevice) -> None:
    assert len(copied(simulated, stop="count", samples=7, time_limit_seconds=None).samples_seconds) == 7
    timed = copied(simulated, stop="time", time_limit_seconds=1.0)
    assert 1.0 <= sum(timed.samples_seconds) < 1.0 + PASS_SECONDS
    assert (timed.stop_code, timed.stop_values["samples"]) == ("duration_reached", 48)


def test_the_limit_is_of_samples_and_not_of_what_surrounds_them(simulated: SimulatedDevice) -> None:
    """A slow launch is paid in every sample; filling, checking and warming up are not sampling."""
    simulated.launch_seconds = 0.1
    m = copied(simulated, time_limit_seconds=0.6)
    assert m.samples_seconds == pytest.approx([0.1 + PASS_SECONDS] * 5)
    assert (m.stop_code, m.stop_unmet_code, m.stop_values["samples"]) == ("time_limit", "few_samples", 5)


def test_a_device_that_speeds_up_is_warmed_until_it_does_not(simulated: SimulatedDevice) -> None:
    """From half of its pace to all of it in 0.7 s of work, and then steady."""
    begun: list[float] = []

    def pace(seconds: float) -> float:
        begun.append(seconds)
        return PACE * min(1.0, 0.5 + 0.5 * (seconds - begun[0]) / 0.7)

    simulated.pace = only_streams(pace)
    m = copied(simulated)
    assert m.warm_up_seconds and 0.7 < m.warm_up_seconds < 1.1
    assert m.samples_seconds == pytest.approx([PASS_SECONDS] * len(m.samples_seconds))


def test_a_memory_clock_that_still_moves_is_waited_for(simulated: SimulatedDevice) -> None:
    """Though the pace is steady: it may be another one a moment later."""
    quiet = copied(simulated)
    simulated.conditions = lambda seconds: Conditions(
        memory_clock_hz=62_500_000 - (round(seconds * 100) % 7 if seconds < begin + 1.0 else 0)
    )
    begin = simulated.clock.seconds
    moving = copied(simulated)
    assert quiet.warm_up_seconds and moving.warm_up_seconds
    assert quiet.warm_up_seconds == pytest.approx(10 * PASS_SECONDS)  # two windows of 0.1 s
    assert simulated.clock.seconds > begin + 1.0
    assert 0.9 < moving.warm_up_seconds < 1.3


def test_a_device_that_never_settles_is_warmed_for_two_seconds(simulated: SimulatedDevice) -> None:
    simulated.pace = slowing(simulated)
    m = copied(simulated)
    assert m.warm_up_seconds and 2.0 <= m.warm_up_seconds < 2.2


def test_what_was_busy_before_is_warmed_for_less(simulated: SimulatedDevice) -> None:
    """A GPU by windows of 40 ms, a processor by the usual ones; neither for more than half a second."""
    seconds: dict[str, list[float | None]] = {}
    for info, shape in ((simulated.info, GPU_PINNED), (PROCESSOR, PINNED)):
        simulated.info = info
        _, told = run_on(simulated, "copy", "copy", footprint_bytes=2 * MIB, **shape)
        seconds[info.kind] = [m.warm_up_seconds for m in told.measurements]
    assert seconds["gpu"] == pytest.approx([10 * PASS_SECONDS, 4 * PASS_SECONDS])
    assert seconds["cpu"] == pytest.approx([10 * PASS_SECONDS, 10 * PASS_SECONDS])
    simulated.pace = slowing(simulated)
    _, told = run_on(simulated, "copy", "copy", footprint_bytes=2 * MIB, **PINNED)
    cold, busy = (m.warm_up_seconds or 0.0 for m in told.measurements)
    assert 0.5 <= busy < 0.7 < 2.0 <= cold


def test_points_in_turns_follow_a_pass_of_their_own(simulated: SimulatedDevice) -> None:
    """Each sample of a curve has one untimed pass of the same point before it, and drift favours none."""
    _, told = run_on(simulated, "occupancy", kernel="copy", footprint_bytes=2 * MIB, **GPU_PINNED)
    samples = sum(len(m.samples_seconds) for m in told.measurements)
    streams = [run[0].groups for run in simulated.runs if is_stream(run)]
    count = len(told.measurements)
    sampled = streams[-2 * samples - count : -count]  # what comes last is the check of each
    assert sampled[::2] == sampled[1::2]
    in_turns = sampled[: 2 * count : 2]
    assert sorted(in_turns) == [m.axes["groups"] for m in told.measurements]
    assert sampled[::2] == in_turns * (samples // count)


def is_stream(run: list[Any]) -> bool:
    return getattr(getattr(run[0], "kernel", None), "name", "").startswith("stream_")
