"""How much memory a figure needs, and what stands against a figure: the flags that travel with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpubench.catalog.theory import CLOCK_LIMITED_RATIO
from gpubench.devices.profile import Kind, profile_of
from gpubench.flags import FLAGS, Flag
from gpubench.measure.diagnostics import bimodal, drifting
from gpubench.measure.statistics import MIN_RANGE_SAMPLES, median, summarize
from gpubench.results.machine import TelemetrySample, Usage

# An interval up to twice as wide as was asked is what a time limit costs; beyond it the figure is
# another one next time.
UNSTABLE_TARGETS = 2

USUAL_TARGET_RATIO = 0.005

CONTENDED_RATIO = 0.1

CONTENDED_SPREAD_RATIO = 0.01
"""From the 5th to the 95th percentile of the samples: others on a GPU that make no such spread took turns
with no sample. The samples of an undisturbed GPU are expected to spread less."""

HEAVY_USE_RATIO = 0.5
"""Others that use a GPU for half of the time take turns with every sample, and need not make a spread."""

BUSY_MEMORY_RATIO = 0.05
"""A desktop reads or writes a GPU's memory for a few percent of the time, at the clocks of a benchmark."""
# A quota as large as the cores is met for some microseconds now and then, which changes no figure.
THROTTLED_RATIO = 0.01

FREE_MEMORY_SHARE = 4

_GIB = 1 << 30

# Arrays are rounded down to whole chunks and pages, which is no reason for a flag.
FOOTPRINT_TOLERANCE_RATIO = 0.95


def required_footprint_bytes(
    kind: Kind,
    last_level_cache_bytes: int | None,
    free_bytes: int | None = None,
    peak_bytes_per_second: float | None = None,
) -> int:
    """How many bytes a benchmark goes through in all where nobody asked for another number.

    What keeps the cache out, on a GPU 4 GiB or more, and so much that a pass lasts 2 ms or more at the peak.
    Never above a quarter of ``free_bytes``: the share wins, and a footprint which it makes too small for the
    cache is flagged.
    """
    profile = profile_of(kind)
    long_enough = math.ceil(profile.min_pass_seconds * (peak_bytes_per_second or 0.0) / _GIB) * _GIB
    uncached = uncached_bytes(kind, last_level_cache_bytes)
    preferred = max(uncached, profile.preferred_footprint_bytes, long_enough)
    return preferred if free_bytes is None else min(preferred, free_bytes // FREE_MEMORY_SHARE)


def uncached_bytes(kind: Kind, last_level_cache_bytes: int | None) -> int:
    """The least footprint with which memory is measured and not cache.

    10 x the last-level cache on a processor, 32 x L2 on others; 1 and 4 GiB if the cache is unknown
    (None or 0).
    """
    profile = profile_of(kind)
    return (
        profile.footprint_cache_multiple * (last_level_cache_bytes or 0)
        or profile.unknown_cache_footprint_bytes
    )


def unstable_above_ratio(target_ratio: float) -> float:
    """The interval, as +- a share of the median, above which a figure is unstable.

    A looser target than the usual one ends a run earlier; it does not make its figure steadier.
    """
    return UNSTABLE_TARGETS * min(target_ratio, USUAL_TARGET_RATIO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one measurement when its flags are decided; None is not known, or no matter.

    ``footprint_bytes`` is what one pass goes through: None for a benchmark that means to measure
    the cache. ``sample_bytes`` is what a sample moves over the memory bus, None where the figure is
    no bandwidth; ``peak_bytes_per_second`` what no figure may exceed: the peak at
    the live clock, else the nominal one. ``telemetry`` are the looks
    while this was measured, without idle ones. ``others_busy_ratio`` (0 to 1) is the share of the
    host's processor time that others used, ``others_device_busy_ratio`` that of a GPU's.
    ``throttled_seconds`` is how long a quota of processor time held threads meanwhile. ``busy_before``:
    others used the device when the run began, and were waited for in vain; ``usage_before`` is how much.
    """

    kind: Kind
    samples_seconds: Sequence[float]
    target_ratio: float
    verified: bool
    footprint_bytes: int | None = None
    last_level_cache_bytes: int | None = None
    sample_bytes: int | None = None
    peak_bytes_per_second: float | None = None
    nominal_memory_clock_hz: int | None = None
    telemetry: Sequence[TelemetrySample] = field(default=())
    other_processes: int | None = None
    others_busy_ratio: float | None = None
    others_device_busy_ratio: float | None = None
    throttled_seconds: float | None = None
    busy_before: bool = False
    usage_before: Usage | None = None


def flags(evidence: Evidence) -> list[Flag]:
    """The flags of a measurement, in the order of the table of flags.

    Raises ValueError if a sample is not a duration.
    """
    return [flag for flag in FLAGS if CONDITIONS[flag](evidence)]


def _cached(evidence: Evidence) -> bool:
    enough = FOOTPRINT_TOLERANCE_RATIO * uncached_bytes(evidence.kind, evidence.last_level_cache_bytes)
    return evidence.footprint_bytes is not None and evidence.footprint_bytes < enough


def _cache_unknown(evidence: Evidence) -> bool:
    return evidence.footprint_bytes is not None and not evidence.last_level_cache_bytes


def _over_theory(evidence: Evidence) -> bool:
    if not (evidence.samples_seconds and evidence.sample_bytes and evidence.peak_bytes_per_second):
        return False
    # Multiplied, not divided: a median of 0 s is above any peak.
    return evidence.sample_bytes > evidence.peak_bytes_per_second * median(evidence.samples_seconds)


def _unstable(evidence: Evidence) -> bool:
    if not evidence.samples_seconds:
        return False
    summary = summarize(evidence.samples_seconds)
    wide = summary.interval_ratio > unstable_above_ratio(evidence.target_ratio)
    few = summary.count < MIN_RANGE_SAMPLES  # of which no interval holds
    return wide or few or bimodal(evidence.samples_seconds)


def _clock_limited(evidence: Evidence) -> bool:
    clocks = [look.memory_clock_hz for look in evidence.telemetry if look.memory_clock_hz]
    if not clocks or not evidence.nominal_memory_clock_hz:
        return False
    return median(clocks) < CLOCK_LIMITED_RATIO * evidence.nominal_memory_clock_hz


def _limited_by(*reasons: str) -> Callable[[Evidence], bool]:
    return lambda evidence: any(set(reasons) & set(look.limits) for look in evidence.telemetry)


def _contended(evidence: Evidence) -> bool:
    """Others on a GPU only where they can matter: a desktop draws on many, and programs may hold a context
    without using it."""
    if max(evidence.others_busy_ratio or 0.0, evidence.others_device_busy_ratio or 0.0) > CONTENDED_RATIO:
        return True
    if not profile_of(evidence.kind).other_programs_contend:
        return evidence.busy_before
    if not evidence.busy_before and not evidence.other_processes:
        return False
    return (
        not _known_to_be_light(evidence) or _spread_ratio(evidence.samples_seconds) > CONTENDED_SPREAD_RATIO
    )


def _known_to_be_light(evidence: Evidence) -> bool:
    """Whether the others on a GPU were seen before the run, and used little of it."""
    before = evidence.usage_before
    if before is None or before.kernels_busy_ratio is None:
        return False
    newcomers = (evidence.other_processes or 0) > (before.other_processes or 0)
    heavy = (
        before.kernels_busy_ratio > HEAVY_USE_RATIO or (before.memory_busy_ratio or 0.0) > BUSY_MEMORY_RATIO
    )
    return not newcomers and not heavy


def _spread_ratio(samples_seconds: Sequence[float]) -> float:
    """From the 5th to the 95th percentile, over the median."""
    ordered = sorted(samples_seconds)
    if not ordered or ordered[len(ordered) // 2] <= 0:
        return 0.0
    last = len(ordered) - 1
    return (ordered[math.ceil(0.95 * last)] - ordered[math.floor(0.05 * last)]) / median(ordered)


def _throttled(evidence: Evidence) -> bool:
    return (evidence.throttled_seconds or 0.0) > THROTTLED_RATIO * math.fsum(evidence.samples_seconds)


CONDITIONS: dict[Flag, Callable[[Evidence], bool]] = {
    "cached_footprint": _cached,
    "cache_unknown": _cache_unknown,
    "over_theory": _over_theory,
    "unstable": _unstable,
    "drifting": lambda evidence: drifting(evidence.samples_seconds),
    "clock_limited": _clock_limited,
    "power_limited": _limited_by("power", "hardware_slowdown"),
    "thermal_limited": _limited_by("thermal"),
    "contended": _contended,
    "throttled": _throttled,
    "unverified": lambda evidence: not evidence.verified,
}
"""For every flag, whether a measurement gets it."""
