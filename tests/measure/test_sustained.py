"""Sustained: windows one after the other, verified before and after; and what a series of them says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gpubench.benchmarks.sustained.findings import Window, findings
from gpubench.flags import Flag
from gpubench.measure import run_context
from gpubench.measure.series import SampleSeries
from gpubench.measure.statistics import summarize
from gpubench.measure.stop_decision import StopDecision
from gpubench.results.document import Finding, Measurement
from gpubench.results.machine import Telemetry, TelemetrySample
from tests.measure.conftest import GPU_PINNED, MIB, PINNED, Measure, run_on
from tests.simulated import PROCESSOR, Conditions, SimulatedDevice

GB = 10**9


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "COLD_LIMIT_SECONDS", 0.05)


def test_windows_follow_one_another_and_are_verified(simulated: SimulatedDevice) -> None:
    """Each begins where the one before has ended: the device does not rest in between."""
    simulated.info = PROCESSOR
    simulated.pace = lambda work: 1e9
    _, told = run_on(
        simulated, "sustained", footprint_bytes=MIB, window_seconds=0.05, duration_seconds=0.3, **GPU_PINNED
    )
    begin = 0.0
    assert [m.axes for m in told.measurements] == [{"window": number} for number in range(6)]
    for m in told.measurements:
        assert (m.status, m.verified, m.mismatches) == ("ok", True, 0)
        assert m.payload_bytes and m.bus_bytes == 3 * m.payload_bytes
        assert m.bandwidth_bytes_per_second
        assert m.bandwidth_bytes_per_second.median == pytest.approx(1e9)
        assert (m.stop_code, m.stop_values) == ("window_ended", {"window_seconds": 0.05})
        assert float(m.places["begin_seconds"]) == pytest.approx(begin, abs=1e-4)
        assert 0.05 <= sum(m.samples_seconds) < 0.05 + m.samples_seconds[0]
        begin += sum(m.samples_seconds)
    # A processor tells no power, no clocks and no temperature: nothing is guessed.
    assert {f.name for f in told.findings} == {"last_to_first", "dips"}


def test_without_more_a_window_lasts_the_time_limit(simulated: SimulatedDevice) -> None:
    """Eight on a processor, ten on a GPU."""
    for info, count in ((PROCESSOR, 8), (simulated.info, 10)):
        simulated.info = info
        _, told = run_on(simulated, "sustained", footprint_bytes=MIB, time_limit_seconds=0.02, **GPU_PINNED)
        assert len(told.measurements) == count
        assert {m.stopped_because for m in told.measurements} == {"the window of 0.02 s is over"}


def test_power_above_the_idle_boards_is_measured(simulated: SimulatedDevice) -> None:
    """50 W for as long as it is left alone at first, and 250 W from then on, at 100 MB/s."""
    begin = simulated.clock.seconds
    simulated.conditions = lambda seconds: Conditions(
        watts=50.0 if seconds < begin + 1.7 else 250.0,
        celsius=40.0 if seconds < begin + 3.0 else 60.0,
        memory_clock_hz=62_500_000,
    )
    _, told = run_on(simulated, "sustained", footprint_bytes=MIB, time_limit_seconds=1.0, **GPU_PINNED)
    found = {f.name: f.value for f in told.findings}
    assert found["energy_per_byte"] == pytest.approx(250 / 100e6, rel=0.01)
    assert found["energy_per_bit_above_idle"] == pytest.approx(200 / 100e6 / 8, rel=0.01)
    assert found["temperature_rise"] == 20.0
    assert found["heating"] == pytest.approx(0.1)
    assert found["memory_clock_last_to_first"] == 1.0


def test_a_device_that_gets_hot_delivers_less_in_its_last_window(simulated: SimulatedDevice) -> None:
    begin = simulated.clock.seconds
    simulated.pace = lambda work: 100e6 if work.seconds < begin + 8.0 else 80e6
    _, told = run_on(simulated, "sustained", footprint_bytes=MIB, time_limit_seconds=1.0, **GPU_PINNED)
    found = {f.name: f.value for f in told.findings}
    assert found["last_to_first"] == pytest.approx(0.8)
    rates = [m.bandwidth_bytes_per_second for m in told.measurements]
    assert found["dips"] == sum(rate is not None and rate.median < 81e6 for rate in rates) > 1


def test_too_many_windows_are_refused(measure: Measure) -> None:
    _, told = measure("sustained", window_seconds=0.1, duration_seconds=60.0, **PINNED)
    [m] = told.measurements
    assert (m.status, m.reason) == ("failed", "60 s are 600 windows of 0.1 s; allowed: 256 windows")


def test_wrong_data_have_no_figure(measure: Measure) -> None:
    store = "STORE(c + AT(u), x[u] + q * y[u])"
    _, told = measure("sustained", faults=(("stream.cl", store, f"if (AT(u) != 99) {store}"),), **PINNED)
    [m] = told.measurements
    assert (m.status, m.verified, m.mismatches) == ("unverified", False, 4)
    assert told.findings == []


def test_windows_in_which_nothing_was_done_are_found(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is poisoned before the first window, and checked after the last."""

    def nothing(series: SampleSeries, context: object) -> None:
        series.samples_seconds.append(0.001)
        series.decision = StopDecision("count_reached", {"samples": 0})

    monkeypatch.setattr(SampleSeries, "take_sample", nothing)
    _, told = measure("sustained", **PINNED)
    assert {m.status for m in told.measurements} == {"unverified"}
    assert told.findings == []


def look(**known: Any) -> TelemetrySample:
    return TelemetrySample(seconds=0.0, **known)


def window(
    begin: float,
    rate: float,
    *looks: TelemetrySample,
    joules: float | None = None,
    lost: float = 0.0,
    flags: tuple[Flag, ...] = (),
) -> Window:
    """A second in which ``rate`` byte/s were moved; in ``lost`` of it, nothing."""
    samples_seconds = [0.1] * 9 + [0.1 + lost]
    measurement = Measurement(
        "sustained",
        {},
        "ok",
        places={"begin_seconds": begin},
        bus_bytes=int(rate / 10),
        samples_seconds=samples_seconds,
        bandwidth_bytes_per_second=summarize(samples_seconds).bandwidth(int(rate / 10)),
        flags=list(flags),
    )
    return Window(measurement, 1.0, Telemetry(samples=list(looks), energy_joules=joules))


def said(*windows: Window, idle_watts: float | None = None) -> dict[str, Finding]:
    return {f.name: f for f in findings("sustained", windows, idle_watts)}


def test_the_last_window_stands_beside_the_first() -> None:
    found = said(window(0, 100 * GB), window(1, 100 * GB), window(2, 90 * GB))
    assert found["last_to_first"].value == pytest.approx(0.9)
    text = "100.0 GB/s on average in the first 1 s, 90.00 GB/s in the last, after 2 s: 90.0 %"
    assert found["last_to_first"].text == text


@pytest.mark.parametrize(
    ("rate", "change"),
    [(50, "53.0 %"), (70, "no measurable change (at most 30.0 %)"), (200, "212.0 %")],
)
def test_a_change_within_the_noise_is_a_bound(rate: int, change: str) -> None:
    """The first window reaches from 62.5 to 100 GB/s, and has 94.3 on average: 70 would be 74.2 % of it."""
    found = said(window(0, 100 * GB, lost=0.06), window(1, rate * GB))["last_to_first"]
    assert found.text.endswith(f", after 1 s: {change}")


def test_averages_against_the_intervals_are_noise() -> None:
    """A lost moment makes the first window slower on average than one that is slower in the median."""
    first = window(0, 100 * GB, lost=2.0)
    narrow = summarize([0.1] * 10).bandwidth(10 * GB)
    first = replace(
        first, measurement=msgspec.structs.replace(first.measurement, bandwidth_bytes_per_second=narrow)
    )
    found = said(first, window(1, 90 * GB))["last_to_first"]
    assert found.value and found.value > 2
    assert found.text.endswith(": no measurable change (at most 170.0 %)")


def test_a_moment_of_lost_bandwidth_is_a_dip() -> None:
    """One slow sample leaves the median of a window as it was."""
    found = said(window(0, 100 * GB), window(1, 100 * GB, lost=0.1), window(2, 100 * GB))
    assert found["dips"].value == 1
    assert found["dip"].value == pytest.approx(1 / 1.1)
    assert "at 1.00 s" in found["dip"].text
    assert said(window(0, 100 * GB), window(1, 97 * GB))["dips"].value == 0


def test_what_may_be_why_a_window_is_slow_stands_beside_it() -> None:
    flags: tuple[Flag, ...] = ("unstable", "power_limited", "contended")
    found = said(window(0, 50 * GB, flags=flags), window(1, 100 * GB, flags=flags[:1]), window(2, 120 * GB))
    assert found["dip"].text == "50.0 % of the median window at 0.00 s (power_limited, contended)"
    assert found["last_to_first"].text.startswith(
        "50.00 GB/s on average in the first 1 s (power_limited, contended), 120.0 GB/s in the last, after"
    )
    assert found["dips"].text == (
        "1 of 3 windows are on average below 95.0 % of the median window, 100.0 GB/s; the fastest has 120.0 %"
    )


def test_energy_is_that_of_the_counter_less_the_idle_boards() -> None:
    windows = [window(k, 1000 * GB, look(power_watts=999.0), joules=300.0) for k in range(3)]
    found = said(*windows, idle_watts=100.0)
    assert found["energy_per_byte"].value == pytest.approx(300 / 1e12)
    assert "energy counter" in found["energy_per_byte"].text
    assert found["energy_per_bit_above_idle"].value == pytest.approx(200 / 1e12 / 8)
    assert "25.00 pJ/bit" in found["energy_per_bit_above_idle"].text


def test_without_a_counter_power_tells_the_energy() -> None:
    found = said(*[window(k, 1000 * GB, look(power_watts=250.0)) for k in range(3)])
    assert found["energy_per_byte"].value == pytest.approx(250 / 1e12)
    assert "energy_per_bit_above_idle" not in found
    assert "heating" not in found


def test_an_idle_power_above_the_busy_one_is_no_finding() -> None:
    found = said(window(0, 1000 * GB, look(power_watts=50.0), joules=50.0), idle_watts=60.0)
    assert "energy_per_bit_above_idle" not in found


def test_what_the_sensors_cannot_see_is_a_bound() -> None:
    """A rise of half a degree that is a fall in the median, and 3 W in 100 W."""
    cold, warm = (
        look(temperature_celsius=60.0, power_watts=103.0),
        look(temperature_celsius=59.5, power_watts=103.0),
    )
    found = said(window(0, 100 * GB, cold), window(1, 100 * GB, *[warm] * 6), idle_watts=100.0)
    assert (found["temperature_rise"].text, found["temperature_rise"].value) == (
        "no measurable rise above 60 °C (less than 1 °C)",
        None,
    )
    above = found["energy_per_bit_above_idle"]
    assert (above.text, above.value) == (
        "no measurable power above the 100.0 W of the idle board (at most 5.15 W)",
        None,
    )
    assert "heating" not in found


def test_a_device_that_cools_down_has_no_heating() -> None:
    looks = [look(temperature_celsius=celsius, power_watts=300.0) for celsius in (60.0, *[50.0] * 6)]
    found = said(window(0, 100 * GB, *looks), idle_watts=100.0)
    assert found["temperature_rise"].text == "from 60 °C to 50 °C"
    assert "heating" not in found


def test_heat_clocks_and_limits() -> None:
    def at(celsius: float, hertz: int, *limits: str) -> TelemetrySample:
        return look(
            temperature_celsius=celsius, memory_clock_hz=hertz, power_watts=300.0, limits=list(limits)
        )

    found = said(
        window(0, 100 * GB, at(40, 14_000_000_000), at(50, 14_000_000_000)),
        window(1, 100 * GB, *[at(60, 13_300_000_000, "power")] * 6),
        idle_watts=100.0,
    )
    assert found["temperature_rise"].value == pytest.approx(20)
    assert found["heating"].value == pytest.approx(0.1)
    assert found["memory_clock_last_to_first"].value == pytest.approx(0.95)
    assert "compute_clock_last_to_first" not in found
    assert found["limited"].text == "limited by power in 75.0 % of the readings"
