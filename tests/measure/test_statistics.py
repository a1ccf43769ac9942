"""Statistics of series whose answer is known: by hand, by construction, or by simulation."""

from __future__ import annotations

import math
import random
import statistics as reference
from collections.abc import Callable
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubench.measure.diagnostics import bimodal, drifting, trend
from gpubench.measure.statistics import (
    MIN_EFFECTIVE_SAMPLES,
    autocorrelation,
    effective_samples,
    median,
    median_ranks,
    percentile,
    summarize,
)

# Triad over 1 GiB of host memory on a shared machine of two cores, milliseconds, as the program took them.
REPLAY_SECONDS = [
    milliseconds / 1000
    for milliseconds in (
        24.0, 23.8, 23.7, 22.5, 22.9, 22.3, 22.9, 22.4, 23.3, 22.3, 22.6, 22.6, 22.7, 22.2, 22.1, 22.0,
        23.2, 25.0, 22.1, 21.9, 22.4, 22.7, 24.2, 22.5, 22.0, 22.3, 22.6, 22.3, 22.5, 25.4, 23.5, 23.1,
        23.4, 22.5, 22.2, 22.6, 22.9, 22.6, 22.6, 22.7, 22.0, 22.7, 22.0, 22.2, 22.5, 22.3, 22.5, 23.1,
        23.2, 23.0, 22.5, 22.9, 24.0, 22.6, 22.8, 23.0, 22.5, 23.2, 23.0, 22.9, 24.0, 24.3, 24.1, 23.1,
    )
]  # fmt: skip


def normal(rng: random.Random, count: int) -> list[float]:
    return [rng.gauss(1, 0.03) for _ in range(count)]


def lognormal(rng: random.Random, count: int) -> list[float]:
    return [rng.lognormvariate(0, 0.3) for _ in range(count)]


def autoregressive(rng: random.Random, count: int, correlation: float = 0.7) -> list[float]:
    state, samples = rng.gauss(), []
    for _ in range(count):
        samples.append(1 + 0.03 * state)
        state = correlation * state + math.sqrt(1 - correlation**2) * rng.gauss()
    return samples


def two_modes(rng: random.Random, count: int, upper_share: float = 0.45) -> list[float]:
    return [rng.gauss(1.03 if rng.random() < upper_share else 1.0, 0.003) for _ in range(count)]


def share(
    of: Callable[[list[float]], bool], series: Callable[[random.Random, int], list[float]], count: int
) -> float:
    rng = random.Random(7)
    return sum(of(series(rng, count)) for _ in range(300)) / 300


class TestPercentiles:
    @pytest.mark.parametrize("count", [1, 2, 3, 20, 21])
    def test_the_median_is_the_usual_one(self, count: int) -> None:
        samples = normal(random.Random(count), count)
        assert median(samples) == pytest.approx(reference.median(samples), rel=1e-15)

    def test_neighbours_are_joined_by_a_line(self) -> None:
        assert percentile([0, 10, 20], 5) == 1
        assert percentile([0, 10, 20], 100) == 20

    def test_nothing_has_no_percentile(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            median([])


class TestCorrelation:
    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.7])
    def test_short_series_are_not_told_too_independent(self, correlation: float) -> None:
        rng = random.Random(1)
        estimates = [autocorrelation(autoregressive(rng, 30, correlation)) for _ in range(2000)]
        assert reference.mean(estimates) == pytest.approx(correlation, abs=0.03)

    @pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0], [3.0] * 40, [0.1] * 7])
    def test_it_is_0_where_it_cannot_be_told(self, series: list[float]) -> None:
        assert autocorrelation(series) == 0

    def test_independent_samples_count_nearly_in_full(self) -> None:
        rng = random.Random(2)
        assert reference.mean(effective_samples(normal(rng, 200)) for _ in range(200)) > 120

    def test_correlated_samples_count_by_the_formula_or_less(self) -> None:
        rng = random.Random(3)
        worth = reference.mean(effective_samples(autoregressive(rng, 400, 0.7)) for _ in range(200))
        assert 0.5 * 400 * 0.3 / 1.7 < worth < 1.1 * 400 * 0.3 / 1.7

    def test_outliers_do_not_hide_it(self) -> None:
        samples = autoregressive(random.Random(4), 200)
        spoiled = [sample * (1.5 if index % 25 == 0 else 1) for index, sample in enumerate(samples)]
        assert autocorrelation(spoiled) < 0.3
        assert effective_samples(spoiled) < 80

    def test_alternating_samples_are_worth_no_more_than_they_are(self) -> None:
        assert effective_samples([1.0, 2.0] * 30) == 60

    def test_a_slow_wander_under_noise_is_seen(self) -> None:
        rng = random.Random(5)
        samples = [1 + 0.02 * math.sin(index / 20) + rng.gauss(0, 0.02) for index in range(300)]
        assert effective_samples(samples) < 30


class TestInterval:
    def test_ranks_of_independent_samples(self) -> None:
        """n = 100: 50 -+ 12.88, counted from 0."""
        assert median_ranks(100, 100) == (36, 63)

    def test_ranks_widen_with_dependence(self) -> None:
        assert median_ranks(100, 25) == (23, 76)

    def test_ranks_stay_within_the_series(self) -> None:
        assert median_ranks(1, 1) == (0, 0)
        assert median_ranks(20, 2) == (0, 19)

    def test_it_holds_from_seven_independent_samples_on(self) -> None:
        assert pytest.approx(6.64, abs=0.01) == MIN_EFFECTIVE_SAMPLES
        assert median_ranks(7, 7) == (0, 6)


class TestSummary:
    def test_replay(self) -> None:
        """The summary of a recorded series, and what it does not hide."""
        summary = summarize(REPLAY_SECONDS)
        assert summary.count == 64
        assert summary.median_seconds == pytest.approx(0.02265)
        assert (summary.min_seconds, summary.max_seconds) == (0.0219, 0.0254)
        assert summary.autocorrelation > 0.3
        assert summary.effective_samples < 32
        # Twice as wide as independent samples would have it, and by the digits that were recorded.
        assert (summary.low_seconds, summary.high_seconds) == pytest.approx((0.0223, 0.0233))
        assert not drifting(REPLAY_SECONDS)
        assert not bimodal(REPLAY_SECONDS)

    def test_bandwidth_changes_the_places_of_the_ends(self) -> None:
        bandwidth = summarize([0.001, 0.002, 0.004]).bandwidth(4_000_000)
        assert bandwidth is not None
        assert bandwidth.median == 2e9
        assert (bandwidth.min, bandwidth.max) == (1e9, 4e9)
        assert (bandwidth.low, bandwidth.high) == (1e9, 4e9)
        assert bandwidth.p5 < bandwidth.median < bandwidth.p95

    def test_a_sample_of_0_seconds_is_no_bandwidth(self) -> None:
        assert summarize([0.0, 0.001]).bandwidth(1000) is None

    @pytest.mark.parametrize("wrong", [[], [-0.001], [0.001, math.nan], [math.inf]])
    def test_what_is_no_duration_is_refused(self, wrong: list[float]) -> None:
        with pytest.raises(ValueError, match="sample"):
            summarize(wrong)

    @given(st.lists(st.floats(0, 1e6) | st.sampled_from([0.0, 0.001]), min_size=1, max_size=60))
    @settings(max_examples=300, deadline=None)
    def test_no_series_gives_nan_or_disorder(self, samples: list[float]) -> None:
        summary = summarize(samples)
        assert all(math.isfinite(value) for value in astuple(summary))
        assert not math.isnan(summary.interval_ratio)
        assert summary.min_seconds <= summary.low_seconds <= summary.median_seconds
        assert summary.median_seconds <= summary.high_seconds <= summary.max_seconds
        assert 1 <= summary.effective_samples <= summary.count
        assert -1 <= summary.autocorrelation <= 1
        assert drifting(samples) in (True, False)
        assert bimodal(samples) in (True, False)

    def test_a_coarse_clock_makes_no_narrow_interval(self) -> None:
        """Launches of 2.7 us, told in steps of 0.5 us: nearly all samples are equal."""
        rng = random.Random(3)
        samples = [round(rng.gauss(2.7e-6, 0.1e-6) / 0.5e-6) * 0.5e-6 for _ in range(100)]
        summary = summarize(samples)
        assert summary.median_seconds == pytest.approx(2.5e-6)
        assert summary.low_seconds < 2.6e-6 < 2.7e-6 < summary.high_seconds

    def test_an_outlier_is_no_tick(self) -> None:
        assert summarize([1.0] * 99 + [1.4]).high_seconds == 1.0

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e-9])
    @pytest.mark.parametrize("count", [1, 2, 5, 20, 400])
    def test_equal_samples(self, value: float, count: int) -> None:
        samples = [value] * count
        summary = summarize(samples)
        assert summary.low_seconds == summary.high_seconds == value
        assert summary.effective_samples == count
        assert not drifting(samples)
        assert not bimodal(samples)


class TestDrift:
    @pytest.mark.parametrize("count", [20, 45, 300])
    def test_a_steady_drift(self, count: int) -> None:
        rng = random.Random(count)
        assert drifting([1 + 0.05 * index / count + rng.gauss(0, 0.003) for index in range(count)])

    @pytest.mark.parametrize("count", [20, 45, 300])
    def test_a_step(self, count: int) -> None:
        rng = random.Random(count)
        assert drifting([1 - 0.05 * (index > count / 2) + rng.gauss(0, 0.01) for index in range(count)])

    def test_less_than_one_percent_does_not_matter(self) -> None:
        assert not drifting([1 + 0.009 * index / 100 for index in range(100)])

    def test_too_few_samples_do_not_drift(self) -> None:
        assert not drifting([1.0, 2.0, 3.0, 4.0])
        assert not drifting([])

    @pytest.mark.parametrize("direction", [1, -1])
    def test_few_samples_drift_where_each_goes_on(self, direction: int) -> None:
        steady = [1 + direction * 0.003 * index for index in range(9)]
        assert drifting(steady[:5])
        assert drifting(steady)
        assert not drifting(steady[:3] + steady[4:5] + steady[3:4] + steady[5:])
        assert not drifting([1 + direction * 0.001 * index for index in range(9)])

    @pytest.mark.parametrize("series", [normal, lognormal, two_modes])
    def test_independent_noise_does_not_drift(
        self, series: Callable[[random.Random, int], list[float]]
    ) -> None:
        assert share(drifting, series, 20) < 0.03
        assert share(drifting, series, 60) == 0

    def test_correlated_noise_is_rarely_taken_for_a_drift(self) -> None:
        assert share(drifting, autoregressive, 45) < 0.03
        assert share(drifting, autoregressive, 150) < 0.01


class TestTrend:
    def test_it_is_how_much_longer_the_last_third_takes(self) -> None:
        assert trend([1.0] * 10 + [1.1] * 10 + [1.2] * 10) == pytest.approx(0.2 / 1.1)
        assert trend([1.2] * 10 + [1.1] * 10 + [1.0] * 10) == pytest.approx(-0.2 / 1.1)
        assert trend([1.0] * 30) == 0

    def test_outliers_do_not_move_it(self) -> None:
        assert trend([9.0, *[1.0] * 29, 9.0]) == 0

    @pytest.mark.parametrize("samples", [[1.0] * 14, [0.0] * 30], ids=["too few", "no clock"])
    def test_what_cannot_be_told_is_null(self, samples: list[float]) -> None:
        assert trend(samples) is None


class TestModes:
    @pytest.mark.parametrize(("count", "at_least"), [(20, 0.95), (45, 0.99), (150, 1)])
    def test_balanced_modes_are_recognised(self, count: int, at_least: float) -> None:
        assert share(bimodal, two_modes, count) >= at_least

    @pytest.mark.parametrize("series", [normal, lognormal, autoregressive])
    @pytest.mark.parametrize(("count", "at_most"), [(20, 0.02), (45, 0.01), (150, 0)])
    def test_other_noise_is_rarely_taken_for_them(
        self, series: Callable[[random.Random, int], list[float]], count: int, at_most: float
    ) -> None:
        assert share(bimodal, series, count) <= at_most

    def test_outliers_are_no_mode(self) -> None:
        samples = normal(random.Random(6), 60)
        assert not bimodal([*samples, 5.0, 5.1, 5.2, 5.3])

    def test_ticks_of_the_timer_are_no_modes(self) -> None:
        """Samples of 1 ms on a timer of 0.5 us."""
        assert not bimodal([0.001, 0.0010005] * 30)
