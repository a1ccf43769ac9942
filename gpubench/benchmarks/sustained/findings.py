"""What a time series of windows says: dips, limits, energy and heat. What is not known makes no finding."""

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
        """The mean, in which what was lost for a moment shows; the median would hide it."""
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
    """Of one or more windows; ``idle_watts`` is null where it is not known."""
    looks = [look for window in windows for look in window.looks]
    said = chain(
        _first_to_last(windows),
        _dips(windows),
        _clocks(windows),
        _limits(looks),
        _energy(windows, looks, idle_watts),
        _heat(looks, idle_watts),
    )
    for name, text, value, unit in said:
        yield Finding(benchmark, name, text, value, unit)


_Said = Iterator[tuple[str, str, float, str | None]]
"""Name, text, value and unit of findings."""


def _first_to_last(windows: Sequence[Window]) -> _Said:
    first, last = windows[0], windows[-1]
    if first is last:
        return
    ratio = last.bytes_per_second / first.bytes_per_second
    noise = "" if _apart(first, last) else ", which does not stand out of the noise"
    yield (
        "last_to_first",
        f"{format_bandwidth(first.bytes_per_second)} on average in the first "
        f"{format_seconds(first.seconds)}{first.flagged}, {format_bandwidth(last.bytes_per_second)} in the "
        f"last{last.flagged}, after {format_seconds(last.begin_seconds)}: {format_percent(ratio)}{noise}",
        ratio,
        "ratio",
    )


def _apart(one: Window, other: Window) -> bool:
    """Whether the intervals of the medians say the same as the averages."""
    slow, fast = (
        window.measurement.bandwidth_bytes_per_second
        for window in sorted((one, other), key=lambda window: window.bytes_per_second)
    )
    return slow is not None and fast is not None and slow.high < fast.low


def _dips(windows: Sequence[Window]) -> _Said:
    rates = [window.bytes_per_second for window in windows]
    usual, most = median(rates), max(rates)
    dips = [window for window in windows if window.bytes_per_second < DIP_RATIO * usual]
    yield (
        "dips",
        f"{len(dips)} of {len(windows)} windows are on average below {format_percent(DIP_RATIO)} of the "
        f"median window with its {format_bandwidth(usual)}; the fastest has {format_percent(most / usual)}",
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


def _clocks(windows: Sequence[Window]) -> _Said:
    for what, read in _CLOCKS.items():
        first, last = (_middle(window.looks, read) for window in (windows[0], windows[-1]))
        if first and last:
            yield (
                f"{what}_clock_last_to_first",
                f"{what} clock: {format_clock(first)} in the first window, {format_clock(last)} in the last",
                last / first,
                "ratio",
            )


def _limits(looks: Sequence[TelemetrySample]) -> _Said:
    for reason in sorted({reason for look in looks for reason in look.limits}):
        ratio = sum(reason in look.limits for look in looks) / len(looks)
        yield "limited", f"limited by {reason} in {format_percent(ratio)} of the looks", ratio, "ratio"


def _energy(windows: Sequence[Window], looks: Sequence[TelemetrySample], idle_watts: float | None) -> _Said:
    """By the energy counter, else by the power that was seen meanwhile."""
    seconds = sum(window.seconds for window in windows)
    counted = [each for window in windows if (each := window.telemetry.energy_joules) is not None]
    watts = _middle(looks, _watts)
    if len(counted) == len(windows):
        joules, source = sum(counted), "the energy counter"
    elif watts is not None:
        joules, source = watts * seconds, "the power seen"
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
    if idle_watts is not None and joules > idle_watts * seconds:
        joules_per_bit = (joules - idle_watts * seconds) / moved / 8
        yield (
            "energy_per_bit_above_idle",
            f"{number(joules_per_bit * 1e12)} pJ/bit above the {number(idle_watts)} W of the idle board",
            joules_per_bit,
            "J/bit",
        )


def _heat(looks: Sequence[TelemetrySample], idle_watts: float | None) -> _Said:
    """Of the GPU's own sensor and the whole board: no thermal resistance of the memory chips."""
    warm = [look.temperature_celsius for look in looks if look.temperature_celsius is not None]
    if len(warm) < 2:
        return
    rise = median(warm[-5:]) - warm[0]
    yield "temperature_rise", f"from {warm[0]:.0f} °C to {warm[0] + rise:.0f} °C", rise, "degC"
    watts = _middle(looks, _watts)
    if watts is not None and idle_watts is not None and watts > idle_watts:
        yield (
            "heating",
            f"{rise / (watts - idle_watts):.3f} °C of the GPU's sensor for each watt above the idle board, "
            "in this time and with this cooler",
            rise / (watts - idle_watts),
            "degC/W",
        )


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
