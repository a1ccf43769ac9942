"""The published interval holds the true median at least as often as it says, stopping included.

A rule that stops when an interval is narrow can spoil that interval: it stops where chance made it
narrow. So the whole procedure is simulated, from the first look to the figure, on noise whose
median is known.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import pytest

from gpubench.measure import statistics, stopping
from gpubench.measure.statistics import SampleSummary, summarize
from gpubench.measure.stopping import MedianPrecision

REPLICATIONS = 1000
PUBLISHED_COVERAGE = 0.95

# Binomial slack, to the strict side: a thousand replications of a method that covers 95 % and no
# more show this much above it in 1 of 100. So a pass says that the true coverage is above 95 %.
SLACK = 2.33 * math.sqrt(PUBLISHED_COVERAGE * (1 - PUBLISHED_COVERAGE) / REPLICATIONS)

# 160 samples is all that the time allows; some series stop before, some do not.
TIME_LIMIT_SECONDS = 2.0
SAMPLE_SECONDS = 0.0125

RULE = MedianPrecision(
    time_limit_seconds=TIME_LIMIT_SECONDS, min_seconds=TIME_LIMIT_SECONDS / stopping.LEAST_TIME_PARTS
)

SampleSeries = Iterator[float]


@dataclass(frozen=True)
class Noise:
    """Noise around a median that is known: ``spread`` is that of one sample, about 1 standard deviation."""

    name: str
    spread: float
    true_median: float
    series: Callable[[random.Random, float], SampleSeries]


def normal(rng: random.Random, spread: float) -> SampleSeries:
    while True:
        yield rng.gauss(1, spread)


def lognormal(rng: random.Random, spread: float) -> SampleSeries:
    """On a floor, as times are: skewness 6.2."""
    while True:
        yield 1 + spread * rng.lognormvariate(0, 1)


def exponential(rng: random.Random, spread: float) -> SampleSeries:
    while True:
        yield 1 + rng.expovariate(1 / spread)


def autoregressive(correlation: float) -> Callable[[random.Random, float], SampleSeries]:
    def series(rng: random.Random, spread: float) -> SampleSeries:
        innovation = math.sqrt(1 - correlation**2)
        state = rng.gauss()
        while True:
            yield 1 + spread * state
            state = correlation * state + innovation * rng.gauss()

    return series


def interrupted(rng: random.Random, spread: float) -> SampleSeries:
    """Correlated, and 4 in 100 samples far off, on both sides so that the median stays."""
    for sample in autoregressive(0.7)(rng, spread):
        yield sample * rng.choices((0.5, 1.0, 1.5), (2, 96, 2))[0]


def wandering(rng: random.Random, spread: float) -> SampleSeries:
    """A slow wander under fast noise: correlation 0.48 at lag 1, and still 0.33 at lag 10."""
    for slow in autoregressive(0.96)(rng, spread / math.sqrt(2)):
        yield slow + rng.gauss(0, spread / math.sqrt(2))


UPPER_SHARE = 0.45
MODE_DEVIATION = 0.1  # of the distance between the modes


def bimodal(rng: random.Random, spread: float) -> SampleSeries:
    while True:
        mode = 1 + (spread if rng.random() < UPPER_SHARE else 0)
        yield rng.gauss(mode, MODE_DEVIATION * spread)


def bimodal_median(spread: float) -> float:
    """The lower mode's quantile with half of all samples below: the upper mode is ten deviations off."""
    quantile = NormalDist().inv_cdf(0.5 / (1 - UPPER_SHARE))
    return 1 + quantile * MODE_DEVIATION * spread


NOISES = [
    Noise("normal", 0.01, 1, normal),
    Noise("lognormal", 0.012, 1.012, lognormal),
    Noise("exponential", 0.012, 1 + 0.012 * math.log(2), exponential),
    Noise("AR(1), 0.5", 0.006, 1, autoregressive(0.5)),
    Noise("AR(1), 0.7, stops early", 0.003, 1, autoregressive(0.7)),
    Noise("AR(1), 0.7", 0.006, 1, autoregressive(0.7)),
    Noise("AR(1), 0.94", 0.003, 1, autoregressive(0.94)),
    Noise("AR(1), 0.7, with outliers", 0.006, 1, interrupted),
    Noise("wandering, at the limit", 0.024, 1, wandering),
    Noise("bimodal, narrow", 0.006, bimodal_median(0.006), bimodal),
    Noise("bimodal, wide", 0.03, bimodal_median(0.03), bimodal),
]


def measure(series: SampleSeries) -> SampleSummary:
    """What a sampler does, with a clock of one sample each ``SAMPLE_SECONDS``."""
    samples: list[float] = []
    for sample in series:
        samples.append(sample)
        if RULE.decide(samples, len(samples) * SAMPLE_SECONDS):
            break
    return summarize(samples)


def coverage(noise: Noise, replications: int = REPLICATIONS) -> float:
    """The share of published intervals that hold the true median."""
    rng = random.Random(noise.name)
    summaries = [measure(noise.series(rng, noise.spread)) for _ in range(replications)]
    held = sum(s.low_seconds <= noise.true_median <= s.high_seconds for s in summaries)
    return held / replications


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_the_published_interval_holds_the_true_median(noise: Noise) -> None:
    assert coverage(noise) >= PUBLISHED_COVERAGE + SLACK


def without_correlation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_effective", lambda ranks: float(len(ranks)))


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "RULE", replace(RULE, min_seconds=0.0))


def without_averages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_MIN_BLOCKS", RULE.max_samples)


def with_plain_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RANK_DEVIATIONS", 1.96)


@pytest.mark.parametrize(
    ("spoil", "noise_name", "at_most"),
    [
        (without_correlation, "AR(1), 0.7", 0.87),
        (without_waiting, "AR(1), 0.94", 0.965),
        (without_averages, "wandering, at the limit", 0.85),
        (with_plain_ranks, "AR(1), 0.94", 0.95),
    ],
)
def test_each_part_of_the_method_is_needed(
    spoil: Callable[[pytest.MonkeyPatch], None],
    noise_name: str,
    at_most: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation would notice if one of them were lost."""
    spoil(monkeypatch)
    noise = next(noise for noise in NOISES if noise.name == noise_name)
    assert coverage(noise, replications=400) <= at_most
