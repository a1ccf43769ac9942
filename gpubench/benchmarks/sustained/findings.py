"""What a time series of windows shows: dips, limits, energy and heat. What is not known gives no finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from gpubench.flags import flags_with
from gpubench.measure.statistics import median
from gpubench.results.document import Finding, Measurement
from gpubench.results.machine import Telemetry, TelemetrySample
from gpubench.units import format_bandwidth, format_clock, format_percent, format_seconds, number

DIP_RATIO = 0.95
"""Of the median window."""

SENSOR_STEP_CELSIUS = 1.0
"""NVML reports whole degrees: a smaller rise is none that it can see."""

POWER_ACCURACY_RATIO = 0.05
"""Of NVML's power reading, as nvml.h says at ``nvmlDeviceGetPowerUsage``."""


@dataclass(frozen=True)
class Window:
    """``seconds`` by the host's clock, in which the measurement's samples were taken and watched."""

    measurement: Measurement
    seconds: float
    telemetry: Telemetry

    @property
    def begin_seconds(self) -> float:
        return float(self.measurement.places["begin_seconds"])

    @property
    def moved_bytes(self) -> int:
        return (self.measurement.bus_bytes or 0) * len(self.measurement.samples_seconds)

    @property
    def bytes_per_second(self) -> float:
        """The mean, which shows a short loss; the median would hide it."""
        return self.moved_bytes / sum(self.measurement.samples_seconds)

    @property
    def flagged(self) -> str:
        """To stand behind the window's figure; empty if no flag may be why it is slow."""
        reasons = ", ".join(flags_with("slows", self.measurement.flags))
        return f" ({reasons})" if reasons else ""

    @property
    def looks(self) -> list[TelemetrySample]:
        return self.telemetry.samples


def findings(benchmark: str, windows: Sequence[Window], idle_watts: float | None) -> Iterator[Finding]:
    """Of one or more windows; ``idle_watts`` is null if it is not known."""
    looks = [look for window in windows for look in window.looks]
    found = chain(
        _first_to_last(windows),
        _dips(windows),
        _clocks(windows),
        _limits(looks),
        _energy(windows, looks, idle_watts),
        _heat(looks, idle_watts),
    )
    for name, text, value, unit in found:
        yield Finding(benchmark, name, text, value, unit)


_Found = Iterator[tuple[str, str, float | None, str | None]]
"""Name, text, value and unit of findings."""


def _first_to_last(windows: Sequence[Window]) -> _Found:
    first, last = windows[0], windows[-1]
    if first is last:
        return
    ratio = last.bytes_per_second / first.bytes_per_second
    at_most = _change_within_noise(first, last, ratio)
    change = (
        f"no measurable change (at most {format_percent(at_most)})"
        if at_most is not None
        else format_percent(ratio)
    )
    yield (
        "last_to_first",
        f"{format_bandwidth(first.bytes_per_second)} on average in the first "
        f"{format_seconds(first.seconds)}{first.flagged}, {format_bandwidth(last.bytes_per_second)} in the "
        f"last{last.flagged}, after {format_seconds(last.begin_seconds)}: {change}",
        ratio,
        "ratio",
    )


def _change_within_noise(first: Window, last: Window, ratio: float) -> float | None:
    """The largest change that may be hidden, if the noise hides whether there is one; else null.

    It does not if the intervals of the medians lie apart in the same way as the averages, whose ``ratio``
    it is.
    """
    before, after = (window.measurement.bandwidth_bytes_per_second for window in (first, last))
    if before is None or after is None:
        return abs(ratio - 1)
    if (after.low > before.high) if ratio > 1 else (after.high < before.low):
        return None
    return max(abs(ratio - 1), after.high / before.low - 1, 1 - after.low / before.high)


def _dips(windows: Sequence[Window]) -> _Found:
    rates = [window.bytes_per_second for window in windows]
    usual, most = median(rates), max(rates)
    dips = [window for window in windows if window.bytes_per_second < DIP_RATIO * usual]
    yield (
        "dips",
        f"{len(dips)} of {len(windows)} windows are on average below {format_percent(DIP_RATIO)} of the "
        f"median window, {format_bandwidth(usual)}; the fastest has {format_percent(most / usual)}",
        len(dips),
        None,
    )
    for window in dips:
        ratio = window.bytes_per_second / usual
        yield (
            "dip",
            f"{format_percent(ratio)} of the median window at {window.begin_seconds:.2f} s{window.flagged}",
            ratio,
            "ratio",
        )


def _clocks(windows: Sequence[Window]) -> _Found:
    for what, read in _CLOCKS.items():
        first, last = (_middle(window.looks, read) for window in (windows[0], windows[-1]))
        if first and last:
            yield (
                f"{what}_clock_last_to_first",
                f"{what} clock: {format_clock(first)} in the first window, {format_clock(last)} in the last",
                last / first,
                "ratio",
            )


def _limits(looks: Sequence[TelemetrySample]) -> _Found:
    for reason in sorted({reason for look in looks for reason in look.limits}):
        ratio = sum(reason in look.limits for look in looks) / len(looks)
        yield "limited", f"limited by {reason} in {format_percent(ratio)} of the readings", ratio, "ratio"


def _energy(windows: Sequence[Window], looks: Sequence[TelemetrySample], idle_watts: float | None) -> _Found:
    """By the energy counter, else by the power readings."""
    seconds = sum(window.seconds for window in windows)
    counted = [each for window in windows if (each := window.telemetry.energy_joules) is not None]
    watts = _middle(looks, _watts)
    if len(counted) == len(windows):
        joules, source = sum(counted), "the energy counter"
    elif watts is not None:
        joules, source = watts * seconds, "power readings"
    else:
        return
    moved = sum(window.moved_bytes for window in windows)
    yield (
        "energy_per_byte",
        f"{number(joules / moved * 1e12)} pJ/byte of the whole board, {number(joules / seconds)} W, "
        f"by {source}",
        joules / moved,
        "J/byte",
    )
    if idle_watts is None or joules <= idle_watts * seconds:
        return
    idle, busy_watts = f"the {number(idle_watts)} W of the idle board", joules / seconds
    if above := _above_idle(busy_watts, idle_watts):
        joules_per_bit = above * seconds / moved / 8
        text = f"{number(joules_per_bit * 1e12)} pJ/bit above {idle}"
        yield "energy_per_bit_above_idle", text, joules_per_bit, "J/bit"
    else:
        text = f"no measurable power above {idle} (at most {number(POWER_ACCURACY_RATIO * busy_watts)} W)"
        yield "energy_per_bit_above_idle", text, None, "J/bit"


def _above_idle(watts: float, idle_watts: float) -> float | None:
    """Power above the idle board's; null if it is within the accuracy of the readings."""
    return watts - idle_watts if watts - idle_watts > POWER_ACCURACY_RATIO * watts else None


def _heat(looks: Sequence[TelemetrySample], idle_watts: float | None) -> _Found:
    """Of the GPU's own sensor and the whole board: no thermal resistance of the memory chips."""
    warm = [look.temperature_celsius for look in looks if look.temperature_celsius is not None]
    if len(warm) < 2:
        return
    rise = median(warm[-5:]) - warm[0]
    if abs(rise) < SENSOR_STEP_CELSIUS:
        text = f"no measurable rise above {warm[0]:.0f} °C (less than {SENSOR_STEP_CELSIUS:g} °C)"
        yield "temperature_rise", text, None, "degC"
        return
    yield "temperature_rise", f"from {warm[0]:.0f} °C to {warm[0] + rise:.0f} °C", rise, "degC"
    watts = _middle(looks, _watts)
    above = _above_idle(watts, idle_watts) if watts is not None and idle_watts is not None else None
    if above is not None and rise > 0:
        text = f"{rise / above:.3f} °C per watt above the idle board, by the GPU's sensor, in this time"
        yield "heating", f"{text} and with this cooler", rise / above, "degC/W"


_Read = Callable[[TelemetrySample], float | None]
_CLOCKS: dict[str, _Read] = {
    "memory": lambda look: look.memory_clock_hz,
    "compute": lambda look: look.compute_clock_hz,
}


def _watts(look: TelemetrySample) -> float | None:
    return look.power_watts


def _middle(looks: Sequence[TelemetrySample], read: _Read) -> float | None:
    known = [value for look in looks if (value := read(look)) is not None]
    return median(known) if known else None
