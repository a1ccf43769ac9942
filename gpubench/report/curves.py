"""Curves as tables: every point of a short one, a row for each series of a long one, and the findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gpubench import units
from gpubench.comparison.compare import Comparison
from gpubench.comparison.curves import Axis, Curve, CurveSeries, placed, value_of
from gpubench.comparison.verdicts import why_unusable
from gpubench.flags import FLAGS, ordered
from gpubench.report.text_table import UNKNOWN, Table, clean, in_brackets, interval
from gpubench.results.document import Measurement

_BARS = "▁▂▃▄▅▆▇█"
MAX_POINTS = 64
"""The most rows for a curve in a report; a longer one has a row for each of its series."""

_SPARK_WIDTH = 16
"""In characters; if there are more points, each character is the mean of several neighbours."""

_AXIS_UNITS: dict[str, Callable[[float], str]] = {
    "_bytes": units.format_bytes,
    "_seconds": units.format_seconds,
    "_ratio": units.format_percent,
    "_bytes_per_second": units.format_bandwidth,
}


def curve_table(curve: Curve, max_rows: int) -> Table:
    """A row for each point, or if there are more than ``max_rows``, one for each series of them."""
    return _summary(curve) if _is_shortened(curve, max_rows) else _points(curve)


def _is_shortened(curve: Curve, max_rows: int) -> bool:
    """Whether a row for each series is much shorter; for series of two points it would only lose detail."""
    return len(curve.points) > max_rows and len(curve.points) >= 3 * len(curve.series())


@dataclass(frozen=True)
class Shown:
    """A benchmark's curves and findings; ``shortened`` if points are left out."""

    benchmark: str
    tables: tuple[Table, ...]
    findings: tuple[str, ...]
    shortened: bool


def shown_curves(comparison: Comparison, max_rows: int) -> list[Shown]:
    """Every benchmark that has curves or findings, in the order of the run."""
    names = [curve.benchmark for curve in comparison.curves]
    names += [finding.benchmark for finding in comparison.document.findings]
    return [_shown(name, comparison, max_rows) for name in dict.fromkeys(names)]


def _shown(benchmark: str, comparison: Comparison, max_rows: int) -> Shown:
    own = [curve for curve in comparison.curves if curve.benchmark == benchmark]
    found = [clean(each.text) for each in comparison.document.findings if each.benchmark == benchmark]
    points = [each for each in comparison.document.measurements if each.benchmark == benchmark]
    return Shown(
        clean(benchmark),
        tuple(curve_table(curve, max_rows) for curve in own),
        (*found, *_flagged(points)) if found else (),
        any(_is_shortened(curve, max_rows) for curve in own),
    )


def _flagged(points: Sequence[Measurement]) -> list[str]:
    """The flags of the points from which findings were made, in one line; empty if there are none."""
    made_from = [point for point in points if not why_unusable(point)]
    counts = {flag: sum(flag in point.flags for point in made_from) for flag in FLAGS}
    listed = ", ".join(f"{flag} ({count} of {len(made_from)})" for flag, count in counts.items() if count)
    return [f"flags of the points used: {listed}"] if listed else []


def title(curve: Curve) -> str:
    return clean(f"{curve.benchmark}{in_brackets(curve.apart)}")


def _points(curve: Curve) -> Table:
    most = max(value_of(point).median for point in curve.points)
    figure = "latency" if curve.is_latency else "GB/s"
    columns = (*map(axis_name, curve.axes), "", figure, "95 % interval")
    also = [(name, show) for name, show, wanted in _ALSO if wanted(curve)]
    rows = tuple(
        (
            *(_place(name, placed(point).get(name)) for name in curve.axes),
            _bar(value_of(point).median / most),
            _figure(curve, value_of(point).median),
            _interval(curve, point),
            *(show(point) or UNKNOWN for _, show in also),
            ", ".join(point.flags) or "none",
        )
        for point in curve.points
    )
    return Table(
        title(curve), (*columns, *(name for name, _ in also), "flags"), rows, len(curve.axes) + 1, last_text=1
    )


def _summary(curve: Curve) -> Table:
    series = curve.series()
    fixed = curve.others
    columns = (*map(axis_name, fixed), axis_name(curve.along or "point"), "")
    rows = tuple(
        (
            *(_place(name, each.fixed.get(name)) for name in fixed),
            _range(each),
            _sparkline([value_of(point).median for point in each.points]),
            _extreme(curve, each, min),
            _extreme(curve, each, max),
            ", ".join(ordered(flag for point in each.points for flag in point.flags)) or "none",
        )
        for each in series
    )
    unit = "" if curve.is_latency else ", GB/s"
    return Table(
        f"{title(curve)}, {len(curve.points)} points{unit}",
        (*columns, "lowest", "highest", "flags"),
        rows,
        len(fixed) + 2,
        last_text=3,
    )


def _range(series: CurveSeries) -> str:
    if series.along is None:
        return str(len(series.points))
    first, last = (_place(series.along, series.place(series.points[end])) for end in (0, -1))
    return f"{first} to {last}" if first != last else first


def _extreme(curve: Curve, series: CurveSeries, choose: Callable[..., Measurement]) -> str:
    point = choose(series.points, key=lambda each: value_of(each).median)
    shown = _figure(curve, value_of(point).median)
    return f"{shown} at {_place(series.along, series.place(point))}" if series.along else shown


def _sparkline(values: Sequence[float]) -> str:
    """A character for each value, or for each group of neighbours; the highest bar is the highest value."""
    count = min(len(values), _SPARK_WIDTH)
    ends = [len(values) * number // count for number in range(count + 1)]
    groups = [values[begin:end] for begin, end in pairwise(ends)]
    means = [sum(group) / len(group) for group in groups]
    most = max(means)
    return "".join(_BARS[min(int(mean / most * len(_BARS)), len(_BARS) - 1)] for mean in means)


def _bar(share: float) -> str:
    """A bar of at most 8 characters."""
    return "█" * int(8 * share) + ("▌" if 8 * share % 1 >= 0.5 else "")


def _figure(curve: Curve, value: float) -> str:
    return units.format_seconds(value) if curve.is_latency else units.number(units.to_gb_per_second(value))


def _interval(curve: Curve, point: Measurement) -> str:
    found = value_of(point)
    return interval(point, _figure(curve, found.low), _figure(curve, found.high))


def _bandwidth(point: Measurement) -> str | None:
    found = point.bandwidth_bytes_per_second
    return units.number(units.to_gb_per_second(found.median)) if found else None


def _of_theory(point: Measurement) -> str | None:
    ratio = point.efficiency_ratio.nominal
    return units.format_percent(ratio) if ratio is not None else None


def _payload_share(point: Measurement) -> float | None:
    return point.payload_bytes / point.bus_bytes if point.payload_bytes and point.bus_bytes else None


def _payload(point: Measurement) -> str | None:
    found, share = point.bandwidth_bytes_per_second, _payload_share(point)
    return units.number(units.to_gb_per_second(found.median * share)) if found and share else None


def _has_load(curve: Curve) -> bool:
    return curve.is_latency and any(point.bandwidth_bytes_per_second for point in curve.points)


def _has_theory(curve: Curve) -> bool:
    return any(point.efficiency_ratio.nominal is not None for point in curve.points)


def _payload_differs(curve: Curve) -> bool:
    """Whether one kernel moves more bus bytes per payload byte at some points, due to access granularity."""
    shares: dict[tuple[str, ...], list[float]] = {}
    for point in curve.points:
        if (share := _payload_share(point)) is not None:
            kernel = tuple(place for place in point.axes.values() if isinstance(place, str))
            shares.setdefault(kernel, []).append(share)
    return any(max(each) > 1.01 * min(each) for each in shares.values())


_ALSO: tuple[tuple[str, Callable[[Measurement], str | None], Callable[[Curve], bool]], ...] = (
    ("GB/s", _bandwidth, _has_load),
    ("payload GB/s", _payload, _payload_differs),
    ("of theory", _of_theory, _has_theory),
)
"""Columns that only some curves have: the heading, the cell, and whether a curve has the column."""


def axis_name(axis: str) -> str:
    """``footprint`` for ``footprint_bytes``."""
    unit = next((unit for unit in _AXIS_UNITS if axis.endswith(unit) and axis != unit), "")
    return clean(axis.removesuffix(unit).replace("_", " "))


def _place(axis: str | None, value: Axis | None) -> str:
    if axis is None or value is None:
        return UNKNOWN
    show = next((show for unit, show in _AXIS_UNITS.items() if axis.endswith(unit)), None)
    if show is None or isinstance(value, str):
        return clean(f"{value:g}" if isinstance(value, float) else value)
    return show(value)
