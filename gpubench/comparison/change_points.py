"""When a figure shifted over time, by how much, and how sure that is.

The test is of ranks, as normal scores, so that it assumes no distribution and outliers cannot carry it: the
largest standardised sum of the scores before a point, over all points that leave ``MIN_SIDE`` values on both
sides. Without a shift its distribution depends on the number of values alone, and was simulated
(``_CRITICAL``). Values that depend on their neighbours are worth fewer independent ones: the statistic is
lowered by what their differences say of that. Of a series in which a straight line explains more than a
step, the change is a drift. A series with a shift is divided there, and its parts are tested in turn.

A wander that is slower than neighbours show, such as one with the seasons, is a change of the figure, and is
reported as one or several.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from gpubench.comparison.dependence import inflation_of
from gpubench.measure.statistics import median, percentile

MINIMUM_EFFECT = 0.005
"""A smaller change is not reported, however sure it is: as for verdicts on runs."""

MIN_VALUES = 20
"""With fewer, no order of the values is so rare that it could not be chance."""

MIN_SIDE = 5

MAX_VALUES = 256
"""A longer series is read as the medians of so many blocks of neighbours, which is fast
enough to be shown at once, and loses only the place of a shift within its block."""

FALSE_ALARM_RATE = 1e-4
"""The share of unchanged series of independent values in which a change is found, each time they are tested.

Simulated: none in 1,000, also with outliers; 1 to 5 in 1,000 if neighbours are correlated by 0.5, and up to
15 in 1,000 of less than a hundred values if they are by 0.7.
"""

_LEVELS = (1e-2, 1e-3, FALSE_ALARM_RATE)

_CRITICAL = {
    20: (2.91, 3.26, 3.45),
    24: (2.99, 3.40, 3.62),
    30: (3.09, 3.52, 3.81),
    40: (3.20, 3.67, 4.04),
    64: (3.33, 3.85, 4.29),
    90: (3.41, 3.96, 4.37),
    128: (3.48, 4.04, 4.47),
    180: (3.54, 4.14, 4.63),
    256: (3.60, 4.19, 4.68),
}
"""For a number of values, what the statistic exceeds with the probabilities ``_LEVELS`` if there is no
change: from 300,000 to 500,000 random orders each (``tools/critical_values.py``)."""

_NORMAL = NormalDist()

_DEVIATIONS = 1.96
"""95 % of a normal distribution."""

_POSITION_DROP = 7.35
"""Likelihood-ratio distance that holds the true position in 95 % (Hansen, Econometrica 68, 2000)."""

Kind = Literal["shift", "drift"]


@dataclass(frozen=True)
class Change:
    """Values from ``at`` on differ from those before; the true position is in ``first`` to ``last``, in 95 %.

    All three are indices into the series. ``ratio`` is after over before, with its 95 % interval. A drift
    goes from ``first`` to ``last``, and ``ratio`` is the last value of its line over the first.
    ``false_alarm_rate`` is that of the strictest level at which it was found.
    """

    kind: Kind
    at: int
    first: int
    last: int
    before: float
    after: float
    ratio: float
    low: float
    high: float
    false_alarm_rate: float


def find_changes(values: Sequence[float], level: float = FALSE_ALARM_RATE) -> list[Change]:
    """The changes of a series in the order of time, oldest first.

    ``values`` are positive and finite; ``level`` is one of 1e-2, 1e-3 and 1e-4. Fewer than ``MIN_VALUES``
    values have no changes. Raises ``ValueError`` for other values or levels.
    """
    if level not in _LEVELS:
        raise ValueError(f"the level must be one of {_LEVELS}, not {level}")
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("the values must be above 0 and finite")
    size = max(-(-len(values) // MAX_VALUES), 1)
    blocks = [median(values[start : start + size]) for start in range(0, len(values), size)]
    logs = [math.log(value) for value in blocks]
    whole = _test(logs, level)
    if whole is None:
        return []
    if whole.drifts:
        found = [_drift(logs, whole)]
    else:
        ends = [0, *_divide(logs, 0, level), len(logs)]
        found = [
            _shift(logs[start:end], test, start)
            for start, _, end in zip(ends, ends[1:], ends[2:], strict=False)
            if (test := _test(logs[start:end], level)) is not None
        ]
    return [_scaled(each, size, len(values)) for each in found if abs(each.ratio - 1) >= MINIMUM_EFFECT]


@dataclass(frozen=True)
class _Test:
    """The statistic of a series, at its largest at ``at``, is above the critical value of ``level``."""

    at: int
    level: float
    drifts: bool
    first: int
    last: int
    inflation: float
    """How many values are worth one independent value, at least 1."""


def _divide(logs: Sequence[float], start: int, level: float) -> list[int]:
    """The positions of all shifts in these values, which begin at ``start`` of the series."""
    test = _test(logs, level)
    if test is None:
        return []
    at = test.at
    return [*_divide(logs[:at], start, level), start + at, *_divide(logs[at:], start + at, level)]


def _test(logs: Sequence[float], level: float) -> _Test | None:
    count = len(logs)
    if count < MIN_VALUES:
        return None
    scores = _scores(logs)
    total = math.fsum(score * score for score in scores)
    if total == 0:
        return None
    sums = list(itertools.accumulate(scores))
    # The share of the scores' variance that a step at each position explains.
    explained = {
        k: sums[k - 1] ** 2 * count / (k * (count - k) * total) for k in range(MIN_SIDE, count - MIN_SIDE + 1)
    }
    at = max(explained, key=explained.__getitem__)
    residuals = _without_step(logs, at)
    inflation = inflation_of(_scores(residuals))
    statistic = math.sqrt(explained[at] * (count - 1) / inflation)
    reached = [each for each, least in zip(_LEVELS, _critical(count), strict=True) if statistic > least]
    if not reached or reached[-1] > level:
        return None
    drop = _POSITION_DROP * inflation * (1 - explained[at]) / count
    near = [k for k, share in explained.items() if explained[at] - share <= drop]
    first, last = near[0], near[-1]
    at = _sharpest(logs, at, first, last)
    return _Test(at, reached[-1], _drifts(logs, _without_step(logs, at)), first, last, inflation)


def _sharpest(logs: Sequence[float], at: int, first: int, last: int) -> int:
    """The place from ``first`` to ``last`` at which a step leaves least: ranks hardly tell places apart."""
    before, after = median(logs[:at]), median(logs[at:])
    gains = itertools.accumulate(abs(y - before) - abs(y - after) for y in logs[first:last])
    costs = [0.0, *gains]
    return first + costs.index(min(costs))


def _critical(count: int) -> tuple[float, ...]:
    """Of the next larger count in the table: the values rise with it."""
    sizes = list(_CRITICAL)
    return _CRITICAL[sizes[min(bisect.bisect_left(sizes, count), len(sizes) - 1)]]


def _scores(values: Sequence[float]) -> list[float]:
    """The normal score of each value's rank; equal values share their rank. Their mean is 0."""
    ordered = sorted(values)
    score = {
        value: _NORMAL.inv_cdf(
            (bisect.bisect_left(ordered, value) + bisect.bisect_right(ordered, value)) / 2 / len(ordered)
        )
        for value in set(values)
    }
    return [score[value] for value in values]


def _without_step(logs: Sequence[float], at: int) -> list[float]:
    before, after = median(logs[:at]), median(logs[at:])
    return [value - (before if index < at else after) for index, value in enumerate(logs)]


def _drifts(logs: Sequence[float], step_residuals: Sequence[float]) -> bool:
    """Whether a straight line leaves less than a step does; absolute, so that no outlier decides it."""
    slope, start = _line(logs)
    return math.fsum(abs(y - start - slope * x) for x, y in enumerate(logs)) < math.fsum(
        map(abs, step_residuals)
    )


def _line(logs: Sequence[float]) -> tuple[float, float]:
    """Slope and start of a line through the medians of the outer thirds."""
    third = len(logs) // 3
    slope = (median(logs[-third:]) - median(logs[:third])) / (len(logs) - third)
    return slope, median([y - slope * x for x, y in enumerate(logs)])


def _shift(logs: Sequence[float], test: _Test, start: int) -> Change:
    before, after = logs[: test.at], logs[test.at :]
    low, middle, high = _difference(before, after, test.inflation)
    return Change(
        kind="shift",
        at=start + test.at,
        first=start + test.first,
        last=start + test.last,
        before=math.exp(median(before)),
        after=math.exp(median(after)),
        ratio=math.exp(middle),
        low=math.exp(low),
        high=math.exp(high),
        false_alarm_rate=test.level,
    )


def _difference(
    before: Sequence[float], after: Sequence[float], inflation: float
) -> tuple[float, float, float]:
    """How far the second sample lies above the first, with its 95 % interval: Hodges, Lehmann and Moses."""
    differences = sorted(b - a for a in before for b in after)
    m, n = len(before), len(after)
    reach = _DEVIATIONS * math.sqrt(m * n * (m + n + 1) / 12 * inflation)
    rank = max(math.floor(m * n / 2 - reach), 0)
    return differences[rank], percentile(differences, 50), differences[-1 - rank]


def _drift(logs: Sequence[float], test: _Test) -> Change:
    """The line, and the interval of the difference between its outer thirds, stretched to the whole."""
    slope, start = _line(logs)
    third = len(logs) // 3
    stretch = (len(logs) - 1) / (len(logs) - third)
    low, _, high = _difference(logs[:third], logs[-third:], test.inflation)
    end = start + slope * (len(logs) - 1)
    return Change(
        kind="drift",
        at=test.at,
        first=0,
        last=len(logs) - 1,
        before=math.exp(start),
        after=math.exp(end),
        ratio=math.exp(end - start),
        low=math.exp(low * stretch),
        high=math.exp(high * stretch),
        false_alarm_rate=test.level,
    )


def _scaled(change: Change, size: int, count: int) -> Change:
    """Indices of blocks as indices of values."""
    if size == 1:
        return change
    return replace(
        change,
        at=change.at * size,
        first=max((change.first - 1) * size + 1, 0),
        last=min(change.last * size + size - 1, count - 1),
    )
