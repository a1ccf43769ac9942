"""What a series of figures did over time: its shifts and drifts, and what else changed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from gpubench.comparison.change_points import MIN_VALUES, Change, Kind, find_changes
from gpubench.flags import Flag, flags_with
from gpubench.measure.statistics import median
from gpubench.results.history import HistoryPoint, HistorySeries


@dataclass(frozen=True)
class Shift:
    """One change of a series. Times are those of figures.

    ``after_at`` is the time of the first figure after it, of run ``run_id``; in 95 % the true one is from
    ``earliest_at`` to ``latest_at``, and the true ratio of after over before from ``low`` to ``high``. A
    drift lasts from ``earliest_at`` to ``latest_at``. ``confidence`` is 1 less the rate of
    false alarms of the strictest level at which it was found. ``slower`` is of the speed: a latency that
    rises is slower.
    ``noted`` are what else was not the same before and after, such as ``driver: 595.10, then 600.1``.
    """

    kind: Kind
    run_id: str
    after_at: str
    earliest_at: str
    latest_at: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    confidence: float
    slower: bool
    noted: tuple[str, ...]


@dataclass(frozen=True)
class Trend:
    """``figures`` is how many were looked at; others were not, for their flags, such as ``contended``.

    ``median`` and ``last`` are theirs, in the unit of the series; null if there are none. ``enough`` is
    whether there are enough of them for shifts to be found.
    """

    series: HistorySeries
    figures: int
    flagged: int
    median: float | None
    last: float | None
    enough: bool
    shifts: tuple[Shift, ...]


def trend_of(series: HistorySeries) -> Trend:
    """The shifts of one series; the figures of runs that other programs disturbed do not count."""
    used = usable_points(series)
    values = [point.median for point in used]
    return Trend(
        series=series,
        figures=len(used),
        flagged=len(series.points) - len(used),
        median=median(values) if values else None,
        last=values[-1] if values else None,
        enough=len(used) >= MIN_VALUES,
        shifts=tuple(_shift(series, used, change) for change in find_changes(values)),
    )


def usable_points(series: HistorySeries) -> list[HistoryPoint]:
    """Those whose flags allow a verdict."""
    return [point for point in series.points if not _disqualified(point.flags)]


def _disqualified(flags: Sequence[str]) -> bool:
    known = cast(Sequence[Flag], flags)  # those that a newer program knows are not in the table, and ignored
    return bool(flags_with("no_verdict", known) or flags_with("not_comparable", known))


def _shift(series: HistorySeries, points: Sequence[HistoryPoint], change: Change) -> Shift:
    at = points[change.at]
    return Shift(
        kind=change.kind,
        run_id=at.run_id,
        after_at=at.at,
        earliest_at=points[change.first].at,
        latest_at=points[change.last].at,
        before=change.before,
        after=change.after,
        ratio=change.ratio,
        low=change.low,
        high=change.high,
        confidence=1 - change.false_alarm_rate,
        slower=(change.ratio < 1) != (series.quantity == "latency"),
        noted=tuple(_noted(points[max(change.first - 1, 0)], points[change.last])),
    )


def _noted(last: HistoryPoint, first: HistoryPoint) -> list[str]:
    """What the last figure that is surely before and the first one surely after do not have in common."""
    return [
        f"{name}: {old or 'unknown'}, then {new or 'unknown'}"
        for name, old, new in (
            ("program", last.program_version, first.program_version),
            ("driver", last.driver, first.driver),
        )
        if old != new
    ]
