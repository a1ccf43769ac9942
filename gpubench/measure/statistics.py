"""Statistics of a series of samples: its median, and how well that is known.

Benchmark noise is skewed (something now and then takes longer, nothing takes shorter), has
outliers and is correlated in time (clocks, temperature and neighbours change slowly). So nothing
here assumes a distribution or independence: the interval of the median comes from order
statistics, and its ranks are widened by how few independent samples the series is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul

from gpubench.results.document import Summary

# 99 % of a normal distribution lies within 2.576 standard deviations. The interval uses it and is
# published as 95 %: the rest pays for looking several times and for estimating the correlation.
RANK_DEVIATIONS = 2.576

# Below this many effective samples the ranks lie outside of the series: the interval is then the
# whole range, and may hold the median less often than in 95 %.
MIN_EFFECTIVE_SAMPLES = RANK_DEVIATIONS**2

# The median lies between the lowest and the highest of so many independent samples in 1 - 2 x 2^-5 = 94 %.
MIN_RANGE_SAMPLES = 5

_TAIL_RATIO = 0.05

# Of fewer averages than this no correlation can be estimated.
_MIN_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """Order statistics of one series of durations.

    ``low_seconds`` to ``high_seconds`` is the 95 % interval of the median, wider by a tick of the clock
    if that shows in the samples. ``autocorrelation`` is that of neighbours' ranks, -1 to 1;
    ``effective_samples`` is how many independent samples the series is worth, 1 to ``count``.
    """

    count: int
    median_seconds: float
    low_seconds: float
    high_seconds: float
    min_seconds: float
    max_seconds: float
    p5_seconds: float
    p95_seconds: float
    autocorrelation: float
    effective_samples: float

    @property
    def interval_holds(self) -> bool:
        """Whether there are enough effective samples for an interval of 95 %."""
        return self.effective_samples >= MIN_EFFECTIVE_SAMPLES

    @property
    def interval_ratio(self) -> float:
        """The interval's farther end from the median, over the median; infinite if that is 0."""
        reach = max(self.high_seconds - self.median_seconds, self.median_seconds - self.low_seconds)
        return reach / self.median_seconds if self.median_seconds > 0 else math.inf

    def bandwidth(self, sample_bytes: int) -> Summary | None:
        """The same in byte/s, for samples of ``sample_bytes`` each.

        Bytes over seconds falls as seconds rise, so low and high, p5 and p95, min and max are
        exchanged. None if a sample lasted 0 s: the clock is too coarse for a bandwidth.
        """
        if self.min_seconds <= 0:
            return None
        return Summary(
            median=sample_bytes / self.median_seconds,
            low=sample_bytes / self.high_seconds,
            high=sample_bytes / self.low_seconds,
            min=sample_bytes / self.max_seconds,
            max=sample_bytes / self.min_seconds,
            p5=sample_bytes / self.p95_seconds,
            p95=sample_bytes / self.p5_seconds,
        )

    def latency(self, accesses: int) -> Summary:
        """Seconds of one of ``accesses`` accesses in a sample, each of which waits for the one before."""
        return Summary(
            median=self.median_seconds / accesses,
            low=self.low_seconds / accesses,
            high=self.high_seconds / accesses,
            min=self.min_seconds / accesses,
            max=self.max_seconds / accesses,
            p5=self.p5_seconds / accesses,
            p95=self.p95_seconds / accesses,
        )


def summarize(samples_seconds: Sequence[float]) -> SampleSummary:
    """Summarize ``samples_seconds``, in the order in which they were taken.

    Raises ValueError if there are none, or one is negative, infinite or no number.
    """
    if not samples_seconds:
        raise ValueError("no samples to summarize")
    for sample in samples_seconds:
        if not (math.isfinite(sample) and sample >= 0):
            raise ValueError(f"a sample must last 0 s or more, not {sample} s")
    ordered = sorted(samples_seconds)
    ranks = _ranks(samples_seconds)
    effective = _effective(ranks)
    low, high = median_ranks(len(ordered), effective)
    tick = _tick(ordered)
    return SampleSummary(
        count=len(ordered),
        median_seconds=percentile(ordered, 50),
        low_seconds=max(ordered[low] - tick, ordered[0]),
        high_seconds=min(ordered[high] + tick, ordered[-1]),
        min_seconds=ordered[0],
        max_seconds=ordered[-1],
        p5_seconds=percentile(ordered, 5),
        p95_seconds=percentile(ordered, 95),
        autocorrelation=autocorrelation(ranks),
        effective_samples=effective,
    )


def median(samples: Sequence[float]) -> float:
    """Raises ValueError if there are no samples."""
    return percentile(sorted(samples), 50)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile (0 to 100) of a sorted series, linear between neighbours.

    Type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996); of 50 it is the
    usual median. Raises ValueError if the series is empty.
    """
    if not ordered:
        raise ValueError("an empty series has no percentiles")
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def median_ranks(count: int, effective: float) -> tuple[int, int]:
    """Indices into the sorted series between which the median lies.

    Ranks n/2 -+ z sqrt(n)/2, as in Le Boudec, "Performance Evaluation of Computer and
    Communication Systems", appendix A, times sqrt(n / n_eff): of dependent samples, how many lie
    below the median varies that much more.
    """
    half_width = RANK_DEVIATIONS * math.sqrt(count) / 2 * math.sqrt(count / effective)
    low = max(1, math.floor(count / 2 - half_width))
    return low - 1, count - low


def autocorrelation(series: Sequence[float]) -> float:
    """Correlation of each value with the next, -1 to 1; 0 if there are too few values or all are equal.

    The estimate from n values is too low by (1 + 4 r) / n (Marriott and Pope, "Bias in the
    Estimation of Autocorrelations", 1954), which is corrected here.
    """
    count = len(series)
    if count < 5:
        return 0.0
    mean = math.fsum(series) / count
    deviations = [value - mean for value in series]
    total = _dot(deviations, deviations)
    if total == 0:
        return 0.0
    raw = _dot(deviations, deviations[1:]) / total
    return min(max((count * raw + 1) / (count - 4), -1.0), 1.0)


def effective_samples(samples: Sequence[float]) -> float:
    """How many independent samples a series of at least one is worth for its median: 1 to its length.

    n (1 - r) / (1 + r) for the lag-1 correlation r (an AR(1) process), with two changes that
    simulation asked for. Of ranks, not of values: four outliers in a hundred hide a correlation
    of 0.7 from the values (83 % coverage), not from the ranks. And the least over the series and
    its averages of 2, 4, 8 ... neighbours: a slow wander under fast noise is nothing at lag 1 and
    plain in the averages. What is slower than a series is long cannot be seen in it.
    """
    return _effective(_ranks(samples))


def without_tails(ordered: Sequence[float]) -> Sequence[float]:
    """A sorted series without 5 % at either end, rounded up."""
    tail = math.ceil(len(ordered) * _TAIL_RATIO)
    return ordered[tail:-tail]


def _tick(ordered: Sequence[float]) -> float:
    """The tick of a coarse clock: the least difference between samples, if some of them are equal.

    0 if none or all are equal. Without the tails: an outlier is no tick.
    """
    steps = [after - before for before, after in pairwise(without_tails(ordered))]
    return min((step for step in steps if step > 0), default=0.0) if 0 in steps else 0.0


def _effective(ranks: Sequence[float]) -> float:
    spread = _variance(ranks)
    fewest = float(len(ranks))
    blocks = ranks
    while True:
        block_spread = _variance(blocks)
        if block_spread > 0:
            r = max(autocorrelation(blocks), 0.0)
            fewest = min(fewest, len(blocks) * spread / block_spread * (1 - r) / (1 + r))
        if len(blocks) < 2 * _MIN_BLOCKS:
            return max(fewest, 1.0)
        blocks = [(left + right) / 2 for left, right in zip(blocks[::2], blocks[1::2], strict=False)]


def _ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, 0 for the least; equal values share the mean of their ranks."""
    ordered = sorted(values)
    last = {value: rank for rank, value in enumerate(ordered)}
    first = {value: len(ordered) - rank for rank, value in enumerate(reversed(ordered), start=1)}
    return [(first[value] + last[value]) / 2 for value in values]


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / max(len(values), 1)
    deviations = [value - mean for value in values]
    return _dot(deviations, deviations) / max(len(values) - 1, 1)


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    """The sum of products, up to the shorter one's end."""
    return float(sum(map(mul, left, right)))
