"""How far figures of healthy boards may lie apart, from measured spread: the margin of an expectation.

A faulty board is slower, never faster. Therefore the spread of healthy boards is taken from the upper half
alone: as long as fewer than half of the boards are slow, the slow ones do not widen it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gpubench.comparison.verdicts import SAME_WITHIN
from gpubench.units import format_percent

BETWEEN_HOSTS_RATIO = 0.08
"""How far published figures of one test on one kind of board lie apart between hosts and drivers (7 to 8 %).
It is used while too few boards have been measured for a spread of their own."""

FEWEST_ABOVE = 3
"""So many boards above the median are needed for a spread: six or seven boards in all."""

MAX_MARGIN_RATIO = 0.25
"""A wider margin would call a board all right that is missing a quarter of its bandwidth."""

_T_ONE_IN_1000 = {
    1: 318.31,
    2: 22.327,
    3: 10.215,
    4: 7.173,
    5: 5.893,
    6: 5.208,
    7: 4.785,
    8: 4.501,
    9: 4.297,
    10: 4.144,
    11: 4.025,
    12: 3.930,
    13: 3.852,
    14: 3.787,
    15: 3.733,
    16: 3.686,
    17: 3.646,
    18: 3.610,
    19: 3.579,
    20: 3.552,
    25: 3.450,
    30: 3.385,
    40: 3.307,
    60: 3.232,
    120: 3.160,
    1000: 3.098,
}
"""Student's t, exceeded on one side in 1 of 1,000, by degrees of freedom."""


@dataclass(frozen=True)
class Margin:
    """``ratio`` of the expected value, and a sentence on where it comes from."""

    ratio: float
    why: str


def t_one_in_1000(degrees: int) -> float:
    """Raises ValueError below one degree of freedom."""
    steps = sorted(_T_ONE_IN_1000)
    at = bisect_right(steps, degrees)
    if at == 0:
        raise ValueError("a spread needs at least one degree of freedom")
    return _T_ONE_IN_1000[steps[at - 1]]


def spread_above(values: Sequence[float]) -> tuple[float, int]:
    """The standard deviation as a share of the median, from the values above it, and how many those are."""
    middle = median(values)
    above = sorted(values)[len(values) - len(values) // 2 :]
    if not above:
        return 0.0, 0
    return math.sqrt(sum((value / middle - 1) ** 2 for value in above) / len(above)), len(above)


def spread_of_runs(boards: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation between runs of one board, as a share, pooled over boards; and its degrees."""
    squares, degrees = 0.0, 0
    for runs in boards:
        mean = sum(runs) / len(runs)
        squares += sum((value / mean - 1) ** 2 for value in runs)
        degrees += len(runs) - 1
    return (math.sqrt(squares / degrees), degrees) if degrees else (0.0, 0)


def margin_of(boards: Sequence[Sequence[float]]) -> Margin:
    """The margin for one run of a board, given the figures of all runs of each of ``boards``.

    By chance a healthy board's run falls below it in 1 to 4 of 1,000 cases (the tests simulate it). Never
    below ``SAME_WITHIN``: two sides that differ by less may be called the same. May be above
    ``MAX_MARGIN_RATIO``: then it is of no use.
    """
    between, above = spread_above([median(runs) for runs in boards])
    within, degrees = spread_of_runs(boards)
    if above >= FEWEST_ABOVE:
        own = t_one_in_1000(above) * between * math.sqrt(1 + 1 / len(boards))
        why = f"{format_percent(between)} between {len(boards)} boards"
    else:
        own = BETWEEN_HOSTS_RATIO
        why = (
            f"{format_percent(own)}, by which published bandwidths differ between hosts, since "
            f"{len(boards)} board{'s are' if len(boards) > 1 else ' is'} too few for a spread of their own"
        )
    runs = t_one_in_1000(degrees) * within if degrees >= FEWEST_ABOVE else 0.0
    if runs:
        why += f", and {format_percent(within)} between runs"
    ratio = math.hypot(own, runs)
    if ratio < SAME_WITHIN:
        return Margin(SAME_WITHIN, f"{format_percent(SAME_WITHIN)} at least; the spread is {why}")
    return Margin(ratio, f"from the spread: {why}")
