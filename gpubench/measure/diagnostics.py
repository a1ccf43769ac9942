"""What is odd about a series of samples: it drifts, or falls into two groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpubench.measure.statistics import (
    MIN_RANGE_SAMPLES,
    effective_samples,
    median,
    median_ranks,
    percentile,
    without_tails,
)

# Drifts and distances of modes below this share of the median are not worth a flag: timers of
# 0.5 us ticks make two "modes" out of samples of 1 ms.
MIN_EFFECT_RATIO = 0.01

# Thirds of at least five: two such sets of independent samples lie apart by chance in 0.8 %.
_MIN_DRIFT_SAMPLES = 15

# Split in two at the best point, a normal distribution has 2/pi = 0.64 of its variance between
# the halves and a uniform one 0.75; two narrow modes have nearly all of it. Of few samples the
# best point is found partly by chance, hence 1/n more.
_BIMODAL_VARIANCE_RATIO = 0.85
_MIN_BIMODAL_SAMPLES = 20
_MIN_MODE_RATIO = 0.2


def drifting(samples: Sequence[float]) -> bool:
    """Whether the series ends elsewhere than it began.

    True if the medians of the first and of the last third differ by at least
    ``MIN_EFFECT_RATIO`` and their intervals do not meet. Each third is judged by its own
    correlation, so that noise which wanders and returns is seldom taken for a drift. The thirds
    are compared as they are, for a step, and without the line through their medians (Tukey's
    resistant line), for a steady drift, which would otherwise look like such noise. A series too short
    for thirds drifts if it only rises or only falls: five samples do by chance in 2 of 120 cases.
    """
    if len(samples) < _MIN_DRIFT_SAMPLES:
        change = abs(samples[-1] - samples[0]) if samples else 0.0
        few = len(samples) < MIN_RANGE_SAMPLES or change <= MIN_EFFECT_RATIO * min(samples)
        return not few and list(samples) in (sorted(samples), sorted(samples, reverse=True))
    third = len(samples) // 3
    first, last = samples[:third], samples[-third:]
    start, end = median(first), median(last)
    if abs(end - start) < MIN_EFFECT_RATIO * min(start, end):
        return False
    slope = (end - start) / (len(samples) - third)
    return any(_apart(_tilted(first, tilt), _tilted(last, tilt)) for tilt in (0.0, slope))


def trend(samples: Sequence[float]) -> float | None:
    """How much longer the last third takes than the first, by their medians over the series' own.

    None if there are too few samples; ``drifting`` decides whether it is more than noise.
    """
    middle = median(samples)
    if len(samples) < _MIN_DRIFT_SAMPLES or middle <= 0:
        return None
    third = len(samples) // 3
    return (median(samples[-third:]) - median(samples[:third])) / middle


def _tilted(samples: Sequence[float], slope: float) -> list[float]:
    """Without a line of that slope (per sample) through the middle of the series."""
    middle = (len(samples) - 1) / 2
    return [value - slope * (index - middle) for index, value in enumerate(samples)]


def _apart(one: Sequence[float], other: Sequence[float]) -> bool:
    (one_low, one_high), (other_low, other_high) = _median_interval(one), _median_interval(other)
    return one_high < other_low or other_high < one_low


def _median_interval(samples: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(samples)
    low, high = median_ranks(len(ordered), effective_samples(samples))
    return ordered[low], ordered[high]


def bimodal(samples: Sequence[float]) -> bool:
    """Whether the samples fall into two groups, each of a fifth or more: a hint, no test.

    The median of such a series lies in a gap or jumps between the groups. The split is the one
    that leaves most variance between the groups (Otsu, "A Threshold Selection Method from
    Gray-Level Histograms", 1979); 5 % at either end are left out first, or it would part the
    outliers from the rest.
    """
    count = len(samples)
    if count < _MIN_BIMODAL_SAMPLES:
        return False
    ordered = sorted(samples)
    inner = without_tails(ordered)
    mean = math.fsum(inner) / len(inner)
    spread = math.fsum((value - mean) ** 2 for value in inner)
    fewest = math.ceil(count * _MIN_MODE_RATIO) - (count - len(inner)) // 2
    below, best, distance = 0.0, 0.0, 0.0
    for left, value in enumerate(inner[: len(inner) - fewest], start=1):
        below += value - mean
        right = len(inner) - left
        between = below * below * len(inner) / (left * right)
        if left >= fewest and between > best:
            best, distance = between, -below * len(inner) / (left * right)
    parted = best > (_BIMODAL_VARIANCE_RATIO + 1 / count) * spread
    return parted and distance >= MIN_EFFECT_RATIO * percentile(ordered, 50)
