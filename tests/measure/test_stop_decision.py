"""The codes of why a series ended: every one is produced, listed, and says what its sentence says."""

from __future__ import annotations

import random
import re
from string import Formatter

import pytest

from gpubench.measure.stop_decision import STOP_REASONS, UNMET_CONDITIONS, StopDecision, stop_sentence
from gpubench.measure.stopping import FixedCount, FixedTime, MedianPrecision, RelativeDeviation, StoppingRule
from gpubench.results.document import decode_document, encode_document
from tests.documents import document
from tests.measure.conftest import MIB, PINNED, Measure

_RNG = random.Random(1)
STEADY = [0.01] * 100
NOISY = [_RNG.gauss(0.01, 0.002) for _ in range(2000)]
RISING = [0.01 + 1e-7 * index for index in range(40)]


def until_it_ends(rule: StoppingRule, samples: list[float]) -> StopDecision | None:
    decisions = (rule.decide(samples[:count], 1.0) for count in range(1, len(samples) + 1))
    return next(filter(None, decisions), None)


BY_RULES = {
    ("precision_reached", None): MedianPrecision().decide(STEADY[:20], 1.0),
    ("deviation_reached", None): until_it_ends(RelativeDeviation(), STEADY),
    ("deviation_settled", None): until_it_ends(RelativeDeviation(), NOISY),
    ("count_reached", None): FixedCount(5).decide(STEADY[:5], 1.0),
    ("duration_reached", None): FixedTime(1.0).decide(STEADY, 1.0),
    ("sample_limit", "wide_interval"): MedianPrecision(max_samples=30).decide(NOISY[:30], 1.0),
    ("time_limit", "no_samples"): MedianPrecision().decide([], 2.5),
    ("time_limit", "few_samples"): MedianPrecision().decide(STEADY[:5], 2.5),
    ("time_limit", "few_independent_samples"): MedianPrecision().decide(RISING, 2.5),
    ("time_limit", "wide_interval"): MedianPrecision().decide(NOISY, 2.5),
    ("time_limit", "large_deviation"): RelativeDeviation().decide(NOISY, 15.0),
}
"""Every code that a stopping rule gives, with the decision that it gives it in."""


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize(("codes", "decision"), BY_RULES.items())
def test_a_rule_gives_the_code(codes: tuple[str, str | None], decision: StopDecision | None) -> None:
    assert decision is not None
    assert (decision.code, decision.unmet) == codes
    shown = [STOP_REASONS[decision.code].sentence, UNMET_CONDITIONS.get(decision.unmet or "", "")]
    assert all(names(template) <= decision.values.keys() for template in shown)
    assert "{" not in decision.reason


def test_every_listed_code_is_produced(measure: Measure) -> None:
    """By a rule above, or by a real run of the two benchmarks that end their series themselves."""
    _, sustained = measure("sustained", duration_seconds=0.1, **PINNED)
    _, integrity = measure("integrity", footprint_bytes=MIB, patterns=["address"])
    measured = [*sustained.measurements, *integrity.measurements]
    stop_codes = {codes[0] for codes in BY_RULES} | {m.stop_code for m in measured}
    assert stop_codes == STOP_REASONS.keys()
    assert {codes[1] for codes in BY_RULES} - {None} == UNMET_CONDITIONS.keys()
    for m in measured:
        assert m.stop_code is not None
        assert m.stopped_because == stop_sentence(m.stop_code, m.stop_unmet_code, m.stop_values)


def test_codes_are_snake_case() -> None:
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", code) for code in [*STOP_REASONS, *UNMET_CONDITIONS])


def test_the_sentence_shows_the_numbers_in_their_units() -> None:
    decision = StopDecision("time_limit", {"time_limit_seconds": 2.5}).lacking(
        "wide_interval", {"interval_ratio": 0.0413, "target_ratio": 0.005}
    )
    assert decision.reason == (
        "time limit of 2.5 s reached: the 95 % interval of the median, ±4.1 %, is wider than the target of "
        "±0.5 %"
    )
    few = MedianPrecision().decide(RISING, 2.5)
    assert few is not None
    assert few.reason == (
        "time limit of 2.5 s reached: 40 correlated samples count as 1.0 independent ones, at least 6.6 are "
        "needed"
    )


def test_an_unknown_code_is_an_error() -> None:
    for code, unmet in (("nope", None), ("time_limit", "nope")):
        with pytest.raises(KeyError, match="nope"):
            stop_sentence(code, unmet, {"time_limit_seconds": 1.0})


def test_the_codes_are_kept_in_the_document(measure: Measure) -> None:
    _, told = measure("copy", **PINNED)
    (m,) = told.measurements
    (kept,) = decode_document(encode_document(document(m))).measurements
    assert (kept.stop_code, kept.stop_unmet_code) == (m.stop_code, m.stop_unmet_code)
    assert kept.stop_values == m.stop_values
    assert kept.stop_values
