"""Statistics, flags and stopping rules on series that real runs took: they say what a look at one says.

No timing: a rule is asked after each sample as it was when the series was taken.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpubench.flags import Flag
from gpubench.measure.diagnostics import bimodal, drifting, trend
from gpubench.measure.statistics import autocorrelation, median, summarize
from gpubench.measure.stop_decision import StopDecision
from gpubench.measure.stopping import (
    FixedCount,
    FixedTime,
    MedianPrecision,
    RelativeDeviation,
    StoppingRule,
)
from gpubench.measure.validity import Evidence, flags

FOLDER = Path(__file__).parent / "recorded"


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: where, when and by what the samples were taken."""

    machine: str
    date: str
    program: str
    benchmark: str
    axes: dict[str, Any]
    others_busy_ratio: float | None
    samples_seconds: list[float]


def recorded(name: str) -> Recorded:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Recorded)


@dataclass(frozen=True)
class Said:
    """What is right for a series: its flags, how much it is worth, and where it goes."""

    flags: tuple[Flag, ...] = ()
    drifting: bool = False
    bimodal: bool = False
    worth: tuple[float, float] = (0.0, 1.0)
    """The share of its samples that are independent, at least and at most."""
    trend: tuple[float, float] = (-0.05, 0.05)


SERIES = {
    # A chase in a cache, of 5 ms, within 2 %: nothing to say.
    "steady": Said(worth=(0.9, 1)),
    # Writes on a quiet machine, within 5 % and without any order.
    "quick_noise": Said(worth=(0.9, 1)),
    # Reads while other programs took three quarters of the processors.
    "contended": Said(("unstable", "contended"), worth=(0, 0.1), trend=(-0.1, 0)),
    # Rises by a fifth while others take the cache away: neighbours alike, so next to nothing is known.
    "rising": Said(("unstable", "drifting", "contended"), drifting=True, worth=(0, 0.1), trend=(0.15, 0.25)),
    # A neighbour came in the middle: half as much again, and more, from one sample to the next.
    "jump": Said(("unstable", "drifting", "contended"), drifting=True, worth=(0, 0.3), trend=(0.5, 0.9)),
    # Empty kernels of 1 us; the first tenth took tenfold.
    "launches": Said(("unstable", "drifting", "contended"), drifting=True, worth=(0, 0.05), trend=(-3, -0.3)),
    # Copies of 4 KiB at 12 or at 20 us, in long turns.
    "two_speeds": Said(("unstable",), bimodal=True, worth=(0, 0.1), trend=(-0.8, -0.3)),
    # Rises by a sixth under noise of 20 %; neighbours differ, so only their averages tell.
    "wandering": Said(("unstable", "contended"), worth=(0, 0.1), trend=(0.1, 0.2)),
    # Rises late; every sample is like the one before.
    "correlated": Said(("unstable", "contended"), worth=(0, 0.1), trend=(0.1, 0.2)),
}


def test_every_recorded_series_is_tested_and_has_its_origin() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(SERIES)
    for name in SERIES:
        series = recorded(name)
        assert series.machine and series.date[:4].isdigit() and series.program.startswith("gpubench ")
        assert len(series.samples_seconds) >= 20


@pytest.mark.parametrize("name", SERIES)
def test_what_is_said_of_a_series(name: str) -> None:
    said, series = SERIES[name], recorded(name)
    samples = series.samples_seconds
    summary, moved = summarize(samples), trend(samples)
    assert drifting(samples) == said.drifting
    assert bimodal(samples) == said.bimodal
    assert said.worth[0] <= summary.effective_samples / summary.count <= said.worth[1]
    assert moved is not None and said.trend[0] <= moved <= said.trend[1]
    evidence = Evidence(
        kind="cpu",
        samples_seconds=samples,
        target_ratio=0.005,
        verified=True,
        others_busy_ratio=series.others_busy_ratio if said.flags else None,
    )
    assert tuple(flags(evidence)) == said.flags


@pytest.mark.parametrize("name", [name for name, said in SERIES.items() if not said.drifting])
def test_valid_intervals_of_half_a_series_agree_with_all_of_it(name: str) -> None:
    samples = recorded(name).samples_seconds
    half = summarize(samples[: len(samples) // 2])
    if half.interval_holds:
        assert half.low_seconds <= median(samples) <= half.high_seconds


def test_order_is_what_tells_a_wander_from_noise() -> None:
    """The same samples sorted into no order are worth all of themselves, and drift nowhere."""
    samples = recorded("rising").samples_seconds
    assert autocorrelation(samples) > 0.9
    shuffled = [
        sample for pair in zip(samples[::2], reversed(samples[1::2]), strict=False) for sample in pair
    ]
    shuffled = shuffled[::3] + shuffled[1::3] + shuffled[2::3]
    assert summarize(shuffled).effective_samples > 3 * summarize(samples).effective_samples
    assert not drifting(shuffled)


def replay(name: str, rule: StoppingRule) -> tuple[int, StopDecision]:
    """Samples until the rule ends the series, which goes round and round, and its decision."""
    taken: list[float] = []
    elapsed = 0.0
    for sample in itertools.cycle(recorded(name).samples_seconds):
        taken.append(sample)
        elapsed += sample
        decision = rule.decide(taken, elapsed)
        if decision is not None:
            return len(taken), decision
    raise AssertionError("a cycle has no end")


@pytest.mark.parametrize(
    ("name", "rule", "count", "code", "ratio"),
    [
        ("steady", MedianPrecision(), 20, "precision_reached", 0.0023),
        ("quick_noise", MedianPrecision(0.01), 30, "precision_reached", 0.0093),
        ("steady", RelativeDeviation(0.01), 112, "deviation_reached", 0.0071),
        ("quick_noise", RelativeDeviation(0.02), 37, "deviation_reached", 0.013),
        ("contended", FixedCount(100), 100, "count_reached", None),
        ("contended", FixedTime(1.0), 205, "duration_reached", None),
    ],
)
def test_a_rule_that_is_satisfied(
    name: str, rule: StoppingRule, count: int, code: str, ratio: float | None
) -> None:
    """``ratio`` is the interval or the deviation at the end, to two digits."""
    taken, decision = replay(name, rule)
    assert (taken, decision.reached, decision.code, decision.unmet) == (count, True, code, None)
    assert decision.values["samples"] == count
    found = decision.values.get("interval_ratio", decision.values.get("deviation_ratio"))
    assert found == (None if ratio is None else pytest.approx(ratio, rel=0.05))


FEW_INDEPENDENT = "few_independent_samples"


@pytest.mark.parametrize(
    ("name", "rule", "code", "unmet", "said"),
    [
        ("contended", MedianPrecision(time_limit_seconds=1.0), "time_limit", "wide_interval", "limit of 1 s"),
        ("wandering", MedianPrecision(time_limit_seconds=1.5), "time_limit", FEW_INDEPENDENT, "least 6.6"),
        ("rising", MedianPrecision(time_limit_seconds=0.14), "time_limit", FEW_INDEPENDENT, "count as 1.0"),
        ("wandering", RelativeDeviation(), "deviation_settled", None, "above the target of 0.5 %"),
        ("jump", RelativeDeviation(time_limit_seconds=0.4), "time_limit", "large_deviation", "46 % of the"),
        ("wandering", FixedCount(1000, 0.5), "time_limit", "few_samples", "at least 1000 are needed"),
    ],
)  # fmt: skip
def test_a_rule_that_gives_up_says_why(
    name: str, rule: StoppingRule, code: str, unmet: str | None, said: str
) -> None:
    _, decision = replay(name, rule)
    assert (decision.reached, decision.code, decision.unmet) == (False, code, unmet)
    assert said in decision.reason
