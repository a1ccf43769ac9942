"""The margin: how often it is wrong, by simulation."""

from __future__ import annotations

import random
from statistics import median

import pytest

from gpubench.comparison.acceptance.spread import margin_of, spread_of_runs, t_one_in_1000


@pytest.mark.parametrize(("boards", "runs"), [(6, 1), (7, 5), (15, 1), (50, 5)])
def test_healthy_boards_seldom_fall_below_the_margin(boards: int, runs: int) -> None:
    """1 to 4 in 1,000 in the long run: 2,000 boards have 8 at most by far."""
    rng = random.Random(boards)
    alarms = 0
    for _ in range(2000):
        fleet = [[own * rng.gauss(1, 0.005) for _ in range(runs)] for own in _healthy(rng, boards)]
        (board,) = _healthy(rng, 1)
        alarms += board * rng.gauss(1, 0.005) < median(map(median, fleet)) * (1 - margin_of(fleet).ratio)
    assert alarms <= 16


def test_slow_boards_do_not_widen_the_margin() -> None:
    rng = random.Random(3)
    healthy = [[own] for own in _healthy(rng, 20)]
    slow = [[each[0] * 0.7] if number < 6 else each for number, each in enumerate(healthy)]
    assert margin_of(slow).ratio < 2 * margin_of(healthy).ratio < 0.2


def test_few_boards_have_the_published_spread() -> None:
    for number in (1, 2, 5):
        found = margin_of([[1600.0]] * number)
        assert found.ratio == pytest.approx(0.08)
        assert "too few" in found.why


def test_equal_boards_have_the_least_margin() -> None:
    assert margin_of([[1600.0]] * 8).ratio == 0.02


def test_the_spread_between_runs_counts() -> None:
    steady, noisy = [[1600.0, 1601.0, 1602.0]] * 8, [[1500.0, 1600.0, 1700.0]] * 8
    assert margin_of(noisy).ratio > 0.15 > margin_of(steady).ratio


def test_the_spread_of_runs_is_pooled() -> None:
    assert spread_of_runs([[1.0], [2.0]]) == (0.0, 0)
    ratio, degrees = spread_of_runs([[99.0, 101.0], [198.0, 202.0]])
    assert (round(ratio, 4), degrees) == (0.0141, 2)


def test_t_falls_to_the_normal_quantile() -> None:
    values = [t_one_in_1000(degrees) for degrees in range(1, 2000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(3.0902, abs=0.01)
    with pytest.raises(ValueError, match="degree"):
        t_one_in_1000(0)


def _healthy(rng: random.Random, number: int) -> list[float]:
    return [rng.gauss(1600, 16) for _ in range(number)]
