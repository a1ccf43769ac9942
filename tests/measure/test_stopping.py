"""When a series ends, and in what words."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from gpubench.measure.stopping import MedianPrecision, StopDecision, StoppingRule, growing


def noisy(spread: float, count: int) -> list[float]:
    rng = random.Random(count)
    return [rng.gauss(0.01, 0.01 * spread) for _ in range(count)]


def stop(rule: StoppingRule, samples: list[float], sample_seconds: float = 0.0) -> tuple[int, StopDecision]:
    """Samples until the rule stops, and its decision."""
    for count in range(1, len(samples) + 1):
        decision = rule.decide(samples[:count], count * sample_seconds)
        if decision is not None:
            return count, decision
    raise AssertionError("it never stopped")


def test_looks_grow_by_half() -> None:
    assert list(islice(growing(20), 8)) == [20, 30, 45, 68, 102, 153, 230, 345]


def test_a_steady_series_stops_at_the_first_look() -> None:
    count, decision = stop(MedianPrecision(), [0.01] * 100)
    assert count == 20
    assert decision == StopDecision(True, "interval ±0 % is within ±0.5 % after 20 samples")


@pytest.mark.parametrize("spread", [0.006, 0.012, 0.03])
def test_it_stops_at_looks_only(spread: float) -> None:
    count, decision = stop(MedianPrecision(), noisy(spread, 3000))
    assert decision.reached
    assert count in list(islice(growing(20), 14))


def test_more_noise_takes_more_samples() -> None:
    counts = [stop(MedianPrecision(), noisy(spread, 3000))[0] for spread in (0.002, 0.01, 0.04)]
    assert counts == sorted(set(counts))


def test_a_wider_target_takes_fewer() -> None:
    samples = noisy(0.03, 3000)
    assert stop(MedianPrecision(target_ratio=0.02), samples)[0] < stop(MedianPrecision(), samples)[0]


def test_at_the_time_limit_it_says_how_wide_the_interval_is() -> None:
    samples = [0.010, 0.0101] * 100
    count, decision = stop(MedianPrecision(target_ratio=0.001), samples, sample_seconds=0.025)
    assert count == 100
    assert decision == StopDecision(False, "time limit of 2.5 s: interval ±0.5 % is wider than ±0.1 %")


def test_at_the_time_limit_it_looks_once_more() -> None:
    count, decision = stop(MedianPrecision(), [0.01] * 100, sample_seconds=0.1)
    assert (count, decision.reached) == (20, True)
    decision_between_looks = MedianPrecision().decide([0.01] * 25, 2.5)
    assert decision_between_looks is not None
    assert decision_between_looks.reached


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "time limit of 2.5 s: no samples"),
        ([0.01] * 3, "time limit of 2.5 s: 3 samples are fewer than 20"),
        (
            [0.01 + 1e-7 * index for index in range(40)],
            "time limit of 2.5 s: 40 samples are worth 1.0 independent ones, fewer than 6.6",
        ),
        ([0.0] * 30, "time limit of 2.5 s: interval ±inf % is wider than ±0.5 %"),
    ],
)
def test_at_the_time_limit_it_names_the_condition_that_is_not_met(samples: list[float], reason: str) -> None:
    assert MedianPrecision().decide(samples, 2.5) == StopDecision(False, reason)


def test_without_time_it_ends_at_the_most_samples() -> None:
    count, decision = stop(MedianPrecision(max_samples=50), noisy(0.2, 100))
    assert count == 50
    assert not decision.reached
    assert decision.reason.startswith("limit of 50 samples: interval ±")


def test_one_rule_serves_many_series() -> None:
    rule = MedianPrecision()
    assert stop(rule, noisy(0.01, 500)) == stop(rule, noisy(0.01, 500))
    assert rule == MedianPrecision()


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_ratio": 0.0},
        {"target_ratio": float("nan")},
        {"time_limit_seconds": 0.0},
        {"min_samples": 1},
        {"min_samples": 30, "max_samples": 20},
    ],
)
def test_limits_that_no_series_can_meet_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MedianPrecision(**wrong)  # type: ignore[arg-type]
