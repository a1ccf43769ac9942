"""When a series ends, and for what reason."""

from __future__ import annotations

import math
import random
import statistics
from itertools import islice

import msgspec
import pytest

from gpubench.benchmarks.parameters import StreamParameters
from gpubench.benchmarks.plan import plan
from gpubench.errors import InvalidParameters
from gpubench.measure.statistics import MIN_EFFECTIVE_SAMPLES
from gpubench.measure.stop_decision import StopDecision, stop_sentence
from gpubench.measure.stopping import (
    FixedCount,
    FixedTime,
    MedianPrecision,
    RelativeDeviation,
    StoppingRule,
    growing,
    relative_deviations,
    stopping_rule,
)
from gpubench.requests import BenchmarkRequest
from tests.measure.conftest import PINNED, Measure


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
    assert decision == StopDecision(
        "precision_reached", {"samples": 20, "interval_ratio": 0.0, "target_ratio": 0.005}
    )


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
    assert (decision.code, decision.unmet) == ("time_limit", "wide_interval")
    assert decision.values == {
        "time_limit_seconds": 2.5,
        "samples": 100,
        "interval_ratio": pytest.approx(0.005, rel=0.02),
        "target_ratio": 0.001,
    }


def test_at_the_time_limit_it_looks_once_more() -> None:
    count, decision = stop(MedianPrecision(), [0.01] * 100, sample_seconds=0.1)
    assert (count, decision.reached) == (20, True)
    decision_between_looks = MedianPrecision().decide([0.01] * 25, 2.5)
    assert decision_between_looks is not None
    assert decision_between_looks.reached


@pytest.mark.parametrize(
    ("samples", "unmet", "numbers"),
    [
        ([], "no_samples", {}),
        ([0.01] * 3, "few_samples", {"samples": 3, "min_samples": 20}),
        (
            [0.01 + 1e-7 * index for index in range(40)],
            "few_independent_samples",
            {"samples": 40, "effective_samples": 1.0, "min_effective_samples": MIN_EFFECTIVE_SAMPLES},
        ),
        (
            [0.0] * 30,
            "wide_interval",
            {"samples": 30, "interval_ratio": math.inf, "target_ratio": 0.005},
        ),
    ],
)
def test_at_the_time_limit_it_names_the_unmet_condition(
    samples: list[float], unmet: str, numbers: dict[str, float]
) -> None:
    expected = StopDecision("time_limit", {"time_limit_seconds": 2.5, **numbers}, unmet)
    assert MedianPrecision().decide(samples, 2.5) == expected


def test_the_time_limit_waits_for_the_samples_that_a_range_needs() -> None:
    count, decision = stop(MedianPrecision(samples_in_any_case=5), [0.01] * 100, sample_seconds=2.0)
    assert count == 5
    assert (decision.code, decision.unmet, decision.values["samples"]) == ("time_limit", "few_samples", 5)


def test_without_time_it_ends_at_the_most_samples() -> None:
    count, decision = stop(MedianPrecision(max_samples=50), noisy(0.2, 100))
    assert count == 50
    assert not decision.reached
    assert (decision.code, decision.unmet) == ("sample_limit", "wide_interval")
    assert decision.values["max_samples"] == 50


def test_a_narrow_interval_waits_for_the_least_time() -> None:
    """The first look after it is at 45 samples."""
    count, decision = stop(MedianPrecision(min_seconds=0.4), [0.01] * 100, sample_seconds=0.01)
    assert (count, decision.reached) == (45, True)


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


def test_a_count_is_a_count() -> None:
    count, decision = stop(FixedCount(37), noisy(0.5, 100), sample_seconds=10.0)
    assert (count, decision) == (37, StopDecision("count_reached", {"samples": 37}))
    count, decision = stop(FixedCount(37, 2.0), noisy(0.5, 100), sample_seconds=0.1)
    assert (count, decision) == (
        20,
        StopDecision(
            "time_limit", {"time_limit_seconds": 2.0, "samples": 20, "min_samples": 37}, "few_samples"
        ),
    )


def test_a_time_is_a_time_however_steady_the_series_is() -> None:
    count, decision = stop(FixedTime(2.0), [0.01] * 300, sample_seconds=0.01)
    assert count == 200
    assert decision == StopDecision("duration_reached", {"duration_seconds": 2.0, "samples": 200})
    assert FixedTime(2.0).decide([], 3.0) is None


class TestRelativeDeviation:
    """Samples of 10 ms, so 0.5 s are about 50 of them."""

    def test_it_takes_half_a_second_of_samples_at_least(self) -> None:
        count, decision = stop(RelativeDeviation(), [0.01] * 100)
        assert (count, decision.reached) == (50, True)
        assert decision.code == "deviation_reached"
        assert decision.values == {"samples": 50, "deviation_ratio": 0.0, "target_ratio": 0.005}
        assert stop(RelativeDeviation(), [0.1] * 100)[0] == 10
        assert stop(RelativeDeviation(time_limit_seconds=0.2), [0.01] * 100, 0.01)[0] == 20

    def test_the_spread_of_samples_decides_not_the_medians_interval(self) -> None:
        samples = noisy(0.03, 1000)
        count, decision = stop(RelativeDeviation(), samples)
        assert not decision.reached  # more samples do not make them less noisy: it gives up
        assert decision.code == "deviation_settled"
        assert decision.values["deviation_ratio"] == pytest.approx(0.03, rel=0.1)
        assert count % 16 == 0 and count > 64
        assert statistics.stdev(samples[:count]) / statistics.mean(samples[:count]) > 0.005
        assert stop(RelativeDeviation(target_ratio=0.05), samples)[0] == 50

    def test_noise_that_falls_is_waited_for(self) -> None:
        samples = [*noisy(0.2, 60), *[0.01] * 3000]
        count, decision = stop(RelativeDeviation(target_ratio=0.05), samples)
        assert count > 300
        assert decision.reached

    def test_noise_that_rises_has_not_settled(self) -> None:
        rng = random.Random(1)
        samples = [rng.gauss(0.01, 0.01 * (0.01 + 0.0002 * index)) for index in range(400)]
        count, decision = stop(RelativeDeviation(), samples, sample_seconds=15.0 / 400)
        assert count == 400
        assert (decision.code, decision.unmet) == ("time_limit", "large_deviation")

    def test_at_the_limit_it_names_the_unmet_condition(self) -> None:
        decision = RelativeDeviation().decide([0.01] * 4, 15.0)
        assert decision == StopDecision(
            "time_limit", {"time_limit_seconds": 15.0, "samples": 4, "min_samples": 10}, "few_samples"
        )

    def test_the_deviations_of_every_beginning_of_a_series(self) -> None:
        samples = [sample + 100 for sample in noisy(0.02, 40)]  # a large mean hides small differences
        expected = [
            statistics.stdev(samples[:count]) / statistics.mean(samples[:count]) for count in range(5, 41)
        ]
        assert relative_deviations(samples, 512) == pytest.approx(expected)
        assert relative_deviations(samples, 7) == pytest.approx(expected[-7:])


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({}, MedianPrecision(0.005, 7.0, samples_in_any_case=5, min_seconds=1.4)),
        ({"time_limit_seconds": 7.0}, MedianPrecision(0.005, 7.0, min_seconds=1.4)),
        ({"stop": "count"}, FixedCount(100, None)),
        ({"stop": "count", "samples": 12, "time_limit_seconds": 3.0}, FixedCount(12, 3.0)),
        ({"stop": "time"}, FixedTime(7.0)),
        ({"stop": "stdev", "target_ratio": 0.02}, RelativeDeviation(0.02, 7.0)),
    ],
)
def test_parameters_choose_the_rule(parameters: dict[str, object], rule: StoppingRule) -> None:
    complete = msgspec.structs.asdict(msgspec.convert(parameters, StreamParameters))
    assert stopping_rule(complete, 7.0) == rule


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"stop": "never"}, "allowed: median, count, time, stdev"),
        ({"samples": 12}, "samples is only for stop=count"),
        ({"stop": "count", "samples": 1}, "parameters.samples"),
        ({"stop": "count", "samples": 10**6}, "parameters.samples"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(parameters: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidParameters, match=said):
        plan([BenchmarkRequest("triad", parameters)])


def test_another_rule_moves_no_gauge() -> None:
    (planned,) = plan([BenchmarkRequest("triad", {"stop": "time"})])
    assert not planned.default_parameters


@pytest.mark.parametrize(
    ("parameters", "codes"),
    [
        ({}, {"precision_reached", "time_limit"}),
        ({"stop": "count", "samples": 7}, {"count_reached", "time_limit"}),
        ({"stop": "time"}, {"duration_reached"}),
        ({"stop": "stdev", "target_ratio": 0.5}, {"deviation_reached", "time_limit"}),
    ],
)
def test_the_document_says_which_condition_ended_a_series(
    measure: Measure, parameters: dict[str, object], codes: set[str]
) -> None:
    _, told = measure("read", **parameters, **PINNED)
    (m,) = told.measurements
    assert m.stop_code in codes
    assert m.stop_values.get("samples", len(m.samples_seconds)) == len(m.samples_seconds)
    assert m.stopped_because == stop_sentence(m.stop_code, m.stop_unmet_code, m.stop_values)
