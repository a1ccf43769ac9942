"""All figures of a report, in their order."""

from __future__ import annotations

from gpubench.report.figures.bandwidth import bandwidth_charts
from gpubench.report.figures.curves import curve_charts
from gpubench.report.figures.model import Figure
from gpubench.report.figures.telemetry import telemetry_charts
from gpubench.report.subject import Subject

_ORDER = (
    "bandwidth",
    "generations",
    "samples",
    "latency",
    "cache_sweep",
    "loaded_latency",
    "mix",
    "pattern",
    "strided",
    "map",
    "sustained",
    "telemetry",
)
"""These first; then others in the order of the run."""


def figures(subject: Subject) -> list[Figure]:
    """Those for which the runs have data; no curves of a fleet, which one chart cannot tell apart."""
    found = bandwidth_charts(subject)
    if not subject.is_fleet:
        found += curve_charts(subject) + telemetry_charts(subject)
    places = {name: place for place, name in enumerate(_ORDER)}
    return sorted(found, key=lambda each: places.get(each.name, len(_ORDER)))
