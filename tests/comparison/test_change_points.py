"""Shifts that were planted are found; in quiet series none is invented."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from gpubench.comparison.change_points import (
    FALSE_ALARM_RATE,
    MAX_VALUES,
    MIN_VALUES,
    Change,
    find_changes,
)

NOISE = 0.01
GENERATOR = random.Random()


@pytest.fixture(autouse=True)
def seed() -> None:
    """Each test has the same noise, whichever others ran before it."""
    GENERATOR.seed(20_260_101)


def series(count: int, correlation: float = 0.0, outliers: float = 0.0) -> list[float]:
    """Noise of 1 % around 1500 GB/s; with outliers, that share of the values is 30 % lower."""
    fresh = math.sqrt(1 - correlation**2)
    noise = GENERATOR.gauss(0, NOISE)
    values = []
    for _ in range(count):
        low = 0.7 if GENERATOR.random() < outliers else 1.0
        values.append(1500e9 * math.exp(noise) * low)
        noise = correlation * noise + GENERATOR.gauss(0, NOISE * fresh)
    return values


def shifted(values: Sequence[float], *shifts: tuple[int, float]) -> list[float]:
    """Each shift is from an index on, by a factor."""
    return [
        value * math.prod(ratio for at, ratio in shifts if index >= at) for index, value in enumerate(values)
    ]


def alarms(make: Callable[[int], list[float]], level: float = FALSE_ALARM_RATE) -> int:
    """In 1,000 quiet series of 20 to 219 values."""
    return sum(bool(find_changes(make(20 + number % 200), level)) for number in range(1000))


def test_no_shift_is_invented_in_a_thousand_quiet_series() -> None:
    """At the stated rate, 1 in 10,000, any is invented in every tenth such test; this one is seeded."""
    assert alarms(series) == 0


def test_the_rate_of_false_alarms_is_the_stated_one() -> None:
    """At the level 1 in 100 there are enough to count: 10 are expected, and 20 come in 1 of 500 tests."""
    assert 1 <= alarms(series, 1e-2) <= 20


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda count: series(count, outliers=0.05), 0),
        (lambda count: [1500e9 * (1 + GENERATOR.paretovariate(3) / 100) for _ in range(count)], 1),
        (lambda count: [round(value / 25e9) * 25e9 for value in series(count)], 1),
        (lambda count: series(count, correlation=0.3), 5),
        (lambda count: series(count, correlation=0.5), 5),
        (lambda count: series(count, correlation=0.7), 15),
    ],
    ids=["outliers", "skewed", "coarse", "correlated 0.3", "correlated 0.5", "correlated 0.7"],
)
def test_what_is_no_shift_gives_few_alarms(make: Callable[[int], list[float]], most: int) -> None:
    assert alarms(make) <= most


def test_equal_values_have_no_shift() -> None:
    assert find_changes([1500e9] * 100) == []


def the_shift(values: Sequence[float]) -> Change | None:
    found = find_changes(values)
    return found[0] if len(found) == 1 and found[0].kind == "shift" else None


@pytest.mark.parametrize(("count", "at"), [(100, 50), (120, 90), (200, 100), (200, 170), (200, 20)])
@pytest.mark.parametrize("ratio", [0.98, 1.02])
def test_a_shift_of_two_percent_in_noise_of_one_is_found(count: int, at: int, ratio: float) -> None:
    """With its size and its position, each in 95 % of the cases."""
    found = [the_shift(shifted(series(count), (at, ratio))) for _ in range(60)]
    sure = [each for each in found if each is not None]
    assert len(sure) >= 51
    assert sum(each.low <= ratio <= each.high for each in sure) >= 0.87 * len(sure)
    assert sum(each.first <= at <= each.last for each in sure) >= 0.87 * len(sure)
    assert all(each.false_alarm_rate == FALSE_ALARM_RATE for each in sure)
    assert all(0.98 * 0.99 < each.ratio < 1.02 * 1.01 for each in sure)


@pytest.mark.parametrize("outliers", [0.05])
def test_outliers_do_not_hide_a_shift(outliers: float) -> None:
    found = [the_shift(shifted(series(200, outliers=outliers), (100, 0.98))) for _ in range(40)]
    assert sum(each is not None and each.low <= 0.98 <= each.high for each in found) >= 34


def test_a_large_shift_is_placed_exactly() -> None:
    found = [the_shift(shifted(series(60), (48, 0.8))) for _ in range(20)]
    assert sum(each is not None and each.at == 48 for each in found) >= 17


def test_several_shifts() -> None:
    found = find_changes(shifted(series(200), (60, 0.95), (120, 1 / 0.95), (160, 1.05)))
    assert [each.kind for each in found] == ["shift"] * 3
    for each, at, ratio in zip(found, (60, 120, 160), (0.95, 1 / 0.95, 1.05), strict=True):
        assert abs(each.at - at) <= 2
        assert each.ratio == pytest.approx(ratio, abs=0.015)
        assert each.first <= each.at <= each.last


def test_a_drift_is_not_called_a_shift() -> None:
    found = []
    for _ in range(20):
        values = [value * (1 - 0.06 * index / 199) for index, value in enumerate(series(200))]
        found.append(find_changes(values))
    drifts = [each[0] for each in found if [change.kind for change in each] == ["drift"]]
    assert len(drifts) >= 19
    assert sum(each.low <= 0.94 <= each.high for each in drifts) >= 17
    assert all((each.first, each.last) == (0, 199) for each in drifts)


def test_a_small_change_is_not_reported_however_sure() -> None:
    quiet = [1500e9 * (1 + GENERATOR.gauss(0, 1e-5)) for _ in range(200)]
    assert find_changes(shifted(quiet, (100, 0.996))) == []
    assert len(find_changes(shifted(quiet, (100, 0.994)))) == 1


def test_too_few_values_have_no_changes() -> None:
    assert find_changes(shifted([1.0 + n % 3 / 1e4 for n in range(MIN_VALUES - 1)], (10, 0.5))) == []


def test_a_long_series_is_read_in_blocks() -> None:
    count, at = 20 * MAX_VALUES + 7, 3333
    (found,) = find_changes(shifted(series(count), (at, 0.99)))
    assert found.first <= at <= found.last
    assert found.last - found.first < 200
    assert found.low <= 0.99 <= found.high
    assert found.last < count


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_values_that_are_no_figures(wrong: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        find_changes([1.0] * 30 + [wrong])


def test_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="level"):
        find_changes([1.0] * 30, 0.05)
