"""One run's figure of a setting: a bandwidth of the whole memory, its latency, or a sustained bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple, TypeVar

from gpubench.benchmarks.registry import STREAM
from gpubench.comparison.compare import flags_of
from gpubench.comparison.verdicts import why_unusable
from gpubench.flags import Flag, flags_with, ordered
from gpubench.measure.levels import memory_from_bytes
from gpubench.results.document import Measurement, RunDocument, Summary
from gpubench.results.figures import meant, settings_text
from gpubench.units import format_bandwidth, format_bytes, format_seconds

Unit = Literal["byte/s", "s"]

_Each = TypeVar("_Each")

LATENCY, SUSTAINED = "latency", "sustained"


class Setting(NamedTuple):
    """What must be equal for two figures to be of the same thing; ``parameters`` as JSON."""

    benchmark: str
    parameters: str

    @property
    def unit(self) -> Unit:
        """``s`` is a latency, of which less is better."""
        return "s" if self.benchmark == LATENCY else "byte/s"

    @property
    def published(self) -> bool:
        """Whether such figures are published, so that theory says something about it."""
        return self.benchmark in STREAM

    @property
    def worse(self) -> str:
        """On which side of the expected value a bad figure lies."""
        return "above" if self.unit == "s" else "below"

    def is_worse(self, figure: float, limit: float) -> bool:
        return figure > limit if self.unit == "s" else figure < limit

    def limit(self, value: float, margin_ratio: float) -> float:
        """The floor of what is expected to be ``value``, or the ceiling of a latency."""
        return value * (1 + margin_ratio if self.unit == "s" else 1 - margin_ratio)

    def speeds(self, figures: Sequence[float]) -> list[float]:
        """The figures, or the inverse of latencies: of speeds more is better."""
        return [1 / each for each in figures] if self.unit == "s" else list(figures)

    def format(self, figure: float) -> str:
        return format_seconds(figure) if self.unit == "s" else format_bandwidth(figure)


@dataclass(frozen=True)
class Usable:
    """Why a measurement does not count: a fault code and a sentence; both null if it does."""

    code: str | None = None
    reason: str | None = None


USABLE = Usable()


@dataclass(frozen=True)
class RunFigure:
    """``value`` with its interval, in the unit of its setting; null if the run gave none. ``unusable`` says
    why it does not count."""

    run: RunDocument
    value: float | None = None
    low: float | None = None
    high: float | None = None
    flags: tuple[Flag, ...] = ()
    unusable: Usable = USABLE


def judged(document: RunDocument) -> list[Measurement]:
    """The measurements of which a check makes figures."""
    return [
        each
        for each in document.measurements
        if each.benchmark in _PICKED or (each.benchmark in STREAM and not each.axes)
    ]


def is_judged(benchmark: str) -> bool:
    return benchmark in STREAM or benchmark in _PICKED


def setting_of(measurement: Measurement) -> Setting:
    return Setting(measurement.benchmark, settings_text(meant(measurement.parameters)))


def by_setting(document: RunDocument) -> dict[Setting, list[Measurement]]:
    found: dict[Setting, list[Measurement]] = {}
    for each in judged(document):
        found.setdefault(setting_of(each), []).append(each)
    return found


def run_figures(
    run: RunDocument,
    setting: Setting,
    found: Sequence[Measurement],
    peak: float | None = None,
    *,
    together: bool = False,
) -> list[RunFigure]:
    """The figures of a run's measurements at one setting; no bandwidth may exceed ``peak``,
    the theory in byte/s.

    A run beside the host's other devices (``together``) is contended by them, which is its purpose.
    """
    if setting.benchmark in _PICKED:
        return [_of_many(run, setting, found, together)] if found else []
    return [_of_one(run, each, peak, together) for each in found]


def _of_one(run: RunDocument, measurement: Measurement, peak: float | None, together: bool) -> RunFigure:
    summary = measurement.bandwidth_bytes_per_second
    nominal = summary.median / peak if summary and peak else None
    flags = flags_of(measurement, nominal, measurement.efficiency_ratio.live_clock)
    why = usable(measurement, flags=flags, together=together)
    if summary is None:
        return RunFigure(run, flags=flags, unusable=why)
    return RunFigure(run, summary.median, summary.low, summary.high, flags, why)


def _of_many(run: RunDocument, setting: Setting, found: Sequence[Measurement], together: bool) -> RunFigure:
    """The median of the figures that count; of all, with the reason of the last, if none does."""
    picked = _PICKED[setting.benchmark](run, found)
    if isinstance(picked, Usable):
        return RunFigure(run, unusable=picked)
    counted = [each for each in picked if usable(each, together=together).code is None]
    shown = counted or picked
    flags = ordered(flag for each in shown for flag in each.flags)
    why = USABLE if counted else usable(picked[-1], together=together)
    summaries = [summary for each in shown if (summary := _summary(each, setting.unit))]
    if not summaries:
        return RunFigure(
            run, flags=flags, unusable=why if why.code else Usable("GB-NOT-MEASURED", "no figure")
        )
    intervals = [(each.median, each.low, each.high) for each in summaries]
    value, low, high = (median(each) for each in zip(*intervals, strict=True))
    return RunFigure(run, value, low, high, flags, why)


def _summary(measurement: Measurement, unit: Unit) -> Summary | None:
    return measurement.latency_seconds if unit == "s" else measurement.bandwidth_bytes_per_second


def _in_memory(run: RunDocument, points: Sequence[Measurement]) -> Sequence[Measurement] | Usable:
    """The points of a latency's curve that are far beyond the caches; at random, unless only the other order
    was walked."""
    known = [each for each in points if each.footprint_bytes is not None]
    at_random = [each for each in known if each.axes.get("order") == "random"] or known
    if not at_random:
        return points  # what failed before it had a footprint, and says why
    least = memory_from_bytes(run.device.last_level_cache_bytes if run.device else None)
    found = [each for each in at_random if (each.footprint_bytes or 0) >= least]
    if found:
        return found
    most = max(each.footprint_bytes or 0 for each in at_random)
    return Usable(
        "GB-NOT-OF-MEMORY",
        f"the curve ends at {format_bytes(most)}, and memory begins at {format_bytes(least)}",
    )


def _at_the_end(run: RunDocument, windows: Sequence[Measurement]) -> Sequence[Measurement]:
    """The last third of the windows, when the device is as warm as it gets."""
    return thirds(windows)[1]


def thirds(windows: Sequence[_Each]) -> tuple[Sequence[_Each], Sequence[_Each]]:
    """The first and the last third of what there is of each window, in the order of time; one each at
    least."""
    count = max(1, len(windows) // 3)
    return windows[:count], windows[-count:]


_PICKED: dict[str, Callable[[RunDocument, Sequence[Measurement]], Sequence[Measurement] | Usable]] = {
    LATENCY: _in_memory,
    SUSTAINED: _at_the_end,
}
"""Benchmarks of which many measurements make one figure: which of them do, or why none does."""


def usable(
    measurement: Measurement, *, flags: Sequence[Flag] | None = None, together: bool = False
) -> Usable:
    """Whether the figure may be judged; ``flags`` are the measurement's own unless given.

    A run beside the host's other devices is contended by them, which is its purpose.
    """
    flags = measurement.flags if flags is None else flags
    if measurement.status == "unverified" and measurement.mismatches:
        return Usable("GB-MEM-ERROR", measurement.reason or f"{measurement.mismatches} wrong values")
    if why := why_unusable(measurement):
        code = "GB-UNVERIFIED" if why.code == "not_verified" else "GB-NOT-MEASURED"
        return Usable(code, why.text)
    if found := flags_with("not_comparable", flags):
        return Usable("GB-NOT-OF-MEMORY", f"flagged {', '.join(found)}")
    if (found := flags_with("no_verdict", flags)) and not together:
        return Usable("GB-CONTENDED", f"flagged {', '.join(found)}")
    return USABLE
