"""What each flag of a run means, in the run's own numbers, and what to do about it.

One text for each flag, for the measurement on which it is worst: among the figures of the memory as a whole,
or the points of curves if only those have it. If a number is not in the document, the general sentences of
``gpubench/flags.py`` are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gpubench.catalog.links import pcie_bytes_per_second
from gpubench.comparison.compare import Comparison
from gpubench.flags import FLAGS, Flag
from gpubench.measure.idle import describe_usage
from gpubench.measure.statistics import MIN_RANGE_SAMPLES, median, summarize
from gpubench.measure.validity import CONTENDED_RATIO, uncached_bytes, unstable_above_ratio
from gpubench.report import options
from gpubench.report.text_table import clean, cut
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.figures import figure_of
from gpubench.results.machine import TelemetrySample
from gpubench.units import (
    format_bandwidth,
    format_bytes,
    format_clock,
    format_percent,
    format_seconds,
    number,
    to_gb_per_second,
)


@dataclass(frozen=True)
class FlagNote:
    """A flag that occurs in a run, and its text; name and text have at most 200 characters in total."""

    flag: Flag
    text: str
    benchmarks: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A flag on one measurement: a sentence without its full stop, its severity compared with others, and an
    option for the command line; null if no option is sure to help."""

    text: str
    severity: float = 0.0
    option: str | None = None


def flag_notes(comparison: Comparison) -> list[FlagNote]:
    """A note for each flag that occurs, in the order of the table of flags."""
    found = list(_flagged(comparison))
    notes = []
    for flag in FLAGS:
        measured = [measurement for measurement, flags in found if flag in flags]
        if measured:
            where = tuple(dict.fromkeys(clean(each.benchmark) for each in measured))
            notes.append(FlagNote(flag, _note(flag, comparison.document, measured), where))
    return notes


def _flagged(comparison: Comparison) -> Iterator[tuple[Measurement, Sequence[Flag]]]:
    for result in comparison.results:
        yield result.measurement, result.flags
    for curve in comparison.curves:
        yield from ((point, point.flags) for point in curve.points)
    for each in comparison.excluded:
        yield each.measurement, each.measurement.flags


def _note(flag: Flag, run: RunDocument, measured: Sequence[Measurement]) -> str:
    figures = [each for each in measured if not each.axes]
    counts = [(len(figures), "figure"), (len(measured) - len(figures), "point")]
    in_numbers = [(seen, each) for each in figures or measured if (seen := NUMBERS[flag](run, each))]
    if not in_numbers:
        return f"{FLAGS[flag].meaning} {FLAGS[flag].remedy}"
    worst, measurement = max(in_numbers, key=lambda pair: pair[0].severity)
    which = " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)
    if len(measured) == 1:
        which = clean(measurement.benchmark)
    elif any(seen.severity != worst.severity for seen, _ in in_numbers):
        which = f"{clean(measurement.benchmark)}, the worst of {which}"
    remedy = f"Try {worst.option}." if worst.option else FLAGS[flag].remedy
    return f"{worst.text} ({which}). {remedy}"


def _cached_footprint(run: RunDocument, m: Measurement) -> _Seen | None:
    if run.device is None or m.footprint_bytes is None:
        return None
    cache, used = run.device.last_level_cache_bytes, format_bytes(m.footprint_bytes)
    needed = uncached_bytes(run.device.kind, cache)
    if cache:
        text = f"{used} is less than {needed // cache} x the {format_bytes(cache)} last-level cache"
    else:
        text = f"{used} is less than the {format_bytes(needed)} required for an unknown cache size"
    return _Seen(text, -m.footprint_bytes, options.footprint(run, m, needed))


def _cache_unknown(run: RunDocument, m: Measurement) -> _Seen | None:
    if m.footprint_bytes is None:
        return None
    option = options.footprint(run, m, 2 * m.footprint_bytes)
    repeat = f"{option}: a figure that stays the same is the memory's" if option else None
    text = f"{format_bytes(m.footprint_bytes)} were used, and the size of the last-level cache is unknown"
    return _Seen(text, -m.footprint_bytes, repeat)


def _over_theory(run: RunDocument, m: Measurement) -> _Seen | None:
    rate = m.bandwidth_bytes_per_second
    peaks = _peaks(run, m)
    if rate is None or not peaks:
        return None
    peak = list(peaks)[-1]  # overclocked memory may exceed the nominal one
    if rate.median <= peak:
        return None
    excess = rate.median / peak - 1
    above = "less than 0.1 %" if excess < 0.001 else format_percent(excess)
    return _Seen(
        f"{format_bandwidth(rate.median)} is {above} above the {peaks[peak]} of {format_bandwidth(peak)}",
        excess,
    )


def _peaks(run: RunDocument, m: Measurement) -> dict[float, str]:
    """Upper limits of the figure, in byte/s, each with its name; the last one counts."""
    direction = str(m.axes.get("direction", "local"))
    if m.benchmark == "transfer" and not direction.startswith("local"):
        link = run.device and pcie_bytes_per_second(run.device.pcie_generation, run.device.pcie_lanes)
        return {link * (2 if direction == "both" else 1): "link's theoretical peak"} if link else {}
    peaks = {run.theory.peak_bytes_per_second: "theoretical peak"} if run.theory else {}
    rate, live_ratio = m.bandwidth_bytes_per_second, m.efficiency_ratio.live_clock
    if rate and live_ratio:
        peaks[rate.median / live_ratio] = "peak at the live clock"
    return {peak: name for peak, name in peaks.items() if peak > 0}


def _unstable(run: RunDocument, m: Measurement) -> _Seen | None:
    try:
        summary = summarize(m.samples_seconds)
    except ValueError:
        return None
    sampled = format_seconds(math.fsum(m.samples_seconds))
    if summary.count < MIN_RANGE_SAMPLES:
        text = f"{summary.count} samples in {sampled} are too few for an interval"
        return _Seen(text, math.inf, options.enough_samples(run, m))
    width = _shown_width_ratio(m)
    if unstable_above_ratio(options.target_ratio(m)) < summary.interval_ratio and width is not None:
        if summary.interval_holds:
            text = f"The interval is ±{format_percent(width)} after {sampled}"
            return _Seen(text, width, options.narrower_interval(run, m, summary.interval_ratio))
        text = f"The samples of {sampled} depend on each other and spread ±{format_percent(width)}"
        return _Seen(text, width)
    rate = m.bandwidth_bytes_per_second
    if m.bimodal and rate:
        low, high = number(to_gb_per_second(rate.p5)), format_bandwidth(rate.p95)
        return _Seen(f"The samples fall into two groups, between {low} and {high}")
    return None


def _shown_width_ratio(m: Measurement) -> float | None:
    """The distance from the figure to the farther end of the interval, over the figure, as both are shown.

    For a bandwidth it is smaller than for the samples' durations: twice the time is half the bandwidth.
    """
    figure = figure_of(m)
    if figure is None or not 0 < figure.median < math.inf:
        return None
    return max(figure.high - figure.median, figure.median - figure.low) / figure.median


def _drifting(run: RunDocument, m: Measurement) -> _Seen | None:
    if not m.trend_ratio:
        return None
    change, way = abs(m.trend_ratio), "longer" if m.trend_ratio > 0 else "less time"
    return _Seen(f"The last third of the samples took {format_percent(change)} {way} than the first", change)


_LOWERS_CLOCKS = {"power", "thermal", "hardware_slowdown"}
"""Why a GPU lowers clocks by itself; its memory clock can also be locked, which it does not report."""


def _clock_limited(run: RunDocument, m: Measurement) -> _Seen | None:
    nominal = run.device.memory_clock_hz if run.device else None
    clocks = [look.memory_clock_hz for look in run.telemetry.samples if look.memory_clock_hz]
    if not nominal:
        return None
    own, live = m.efficiency_ratio.nominal, m.efficiency_ratio.live_clock
    if own and live and run.theory and run.theory.source == "device":
        clock = nominal * own / live  # both belong to one figure: their ratio is that of the clocks
    elif clocks:
        clock = median(clocks)
    else:
        return None
    share = format_percent(clock / nominal)
    text = f"The memory ran at {format_clock(clock)}, {share} of its nominal {format_clock(nominal)}"
    if clocks and not any(set(look.limits) & _LOWERS_CLOCKS for look in run.telemetry.samples):
        return _Seen(text, -clock, "nvidia-smi -rmc: neither power nor heat holds it, so it may be locked")
    return _Seen(text, -clock)


def _power_limited(run: RunDocument, m: Measurement) -> _Seen | None:
    looks = run.telemetry.samples
    by_power = [look for look in looks if "power" in look.limits]
    by_hardware = [look for look in looks if "hardware_slowdown" in look.limits]
    limited = by_power or by_hardware
    if not limited:
        return None
    what = "The power limit" if by_power else "The hardware, reason unknown,"
    watts = [look.power_watts for look in limited if look.power_watts is not None]
    at = f", at {median(watts):.0f} W" if watts else ""
    return _Seen(f"{what} lowered clocks in {_share(limited, looks)} of all readings{at}")


def _thermal_limited(run: RunDocument, m: Measurement) -> _Seen | None:
    looks = run.telemetry.samples
    limited = [look for look in looks if "thermal" in look.limits]
    if not limited:
        return None
    warm = [look.temperature_celsius for look in limited if look.temperature_celsius is not None]
    at = f", at up to {max(warm):.0f} °C" if warm else ""
    return _Seen(f"Heat lowered clocks in {_share(limited, looks)} of all readings{at}")


def _share(some: Sequence[TelemetrySample], of: Sequence[TelemetrySample]) -> str:
    return format_percent(len(some) / len(of))


_MAX_NAME = 40
"""Of another program, with its process id."""


def _contended(run: RunDocument, m: Measurement) -> _Seen | None:
    watched = run.telemetry
    if (watched.others_busy_ratio or 0) > CONTENDED_RATIO:
        return _Seen(f"Others used up to {format_percent(watched.others_busy_ratio or 0)} of the processors")
    if names := watched.processes or (watched.before.usage.processes if watched.before else []):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return _Seen(f"Others on the device: {cut(clean(names[0]), _MAX_NAME)}{more}")
    if watched.other_processes:
        programs = "program" if watched.other_processes == 1 else "programs"
        return _Seen(f"{watched.other_processes} other {programs} computed on the device")
    if watched.before and not watched.before.idle:
        usage = msgspec.structs.replace(watched.before.usage, memory_busy_ratio=None)
        if text := describe_usage(usage):
            return _Seen(f"The device was busy before the run: {text}")
    return None


def _throttled(run: RunDocument, m: Measurement) -> _Seen | None:
    seconds = run.telemetry.throttled_seconds
    if not seconds:
        return None
    quota = run.environment.host.quota_cores if run.environment else None
    cores = run.environment.host.cores if run.environment else None
    of = f" of {quota:g} cores" if quota else ""
    wanted = f", and the run used {cores}" if quota and cores and cores > quota else ""
    return _Seen(f"A quota{of} stopped threads for {format_seconds(seconds)} in all{wanted}")


def _unverified(run: RunDocument, m: Measurement) -> _Seen | None:
    if not m.mismatches:
        return None
    values = "1 value was" if m.mismatches == 1 else f"{m.mismatches} values were"
    return _Seen(f"{values} wrong after the benchmark: there is no figure", m.mismatches)


NUMBERS: dict[Flag, Callable[[RunDocument, Measurement], _Seen | None]] = {
    "cached_footprint": _cached_footprint,
    "cache_unknown": _cache_unknown,
    "over_theory": _over_theory,
    "unstable": _unstable,
    "drifting": _drifting,
    "clock_limited": _clock_limited,
    "power_limited": _power_limited,
    "thermal_limited": _thermal_limited,
    "contended": _contended,
    "throttled": _throttled,
    "unverified": _unverified,
}
"""The note on a flag of one measurement of a run; null if the document has no numbers for it."""
