"""How far figures that follow each other depend on each other, in spite of shifts and drifts among them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpubench.measure.statistics import autocorrelation

_MIN_BLOCKS = 64
"""Of fewer averages an estimate of their correlation would hide shifts more often than it is right."""

_MOST_CORRELATED = 0.95

_SHORTNESS = 2.0
"""A correlation estimated from n values is raised by this over n, as simulated series need it."""

_NOT_TRIMMED = 0.9


def inflation_of(scores: Sequence[float]) -> float:
    """How many values are worth one independent value, at least 1: (1 + r) / (1 - r) of an AR(1) process.

    r is what differences show: those of neighbours have a variance of 2 (1 - r), those of second neighbours
    one of 2 (1 - r^2). Other shifts and drifts of the series, which would pass for correlation, hardly change
    them. As for the samples of a run, averages of neighbours are tested too, which show slow correlation, as
    long as there are enough of them; the highest result counts.
    """
    found, blocks, size = 1.0, scores, 1
    variance = _correlated(scores)[0]
    while True:
        block_variance, r = _correlated(blocks)
        if variance > 0:
            found = max(found, size * block_variance / variance * (1 + r) / (1 - r))
        if len(blocks) < 2 * _MIN_BLOCKS:
            return found
        blocks = [(left + right) / 2 for left, right in zip(blocks[::2], blocks[1::2], strict=False)]
        size *= 2


def _correlated(values: Sequence[float]) -> tuple[float, float]:
    """Variance and lag-1 correlation, 0 or more, without what shifts and drifts add to them.

    Of two estimates the lower one: the usual one is more precise, the one from differences is not misled.
    """
    near, far = (
        _trimmed_squares([b - a for a, b in zip(values, values[lag:], strict=False)]) for lag in (1, 2)
    )
    if near == 0:
        return 0.0, 0.0
    r = min(far / near - 1, autocorrelation(values)) + _SHORTNESS / len(values)
    r = min(max(r, 0.0), _MOST_CORRELATED)
    return near / 2 / (1 - r), r


def _trimmed_squares(differences: Sequence[float]) -> float:
    """The mean of squares without the largest, which are those across other shifts."""
    ordered = sorted(difference * difference for difference in differences)
    kept = ordered[: math.ceil(len(ordered) * _NOT_TRIMMED)]
    return math.fsum(kept) / len(kept)
