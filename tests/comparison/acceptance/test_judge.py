"""Verdicts: what is a fault, what is not known, and what several attempts decide."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import structs

from gpubench.comparison.acceptance import FAULTS, AttemptRule, Rules, Sources, judge, learn
from gpubench.comparison.acceptance.attempts import decide
from gpubench.comparison.acceptance.faults import worst
from gpubench.comparison.acceptance.figures import TOGETHER_KEY
from gpubench.comparison.acceptance.verdict import Attempt
from gpubench.errors import InvalidParameters
from gpubench.flags import FLAGS, Flag
from gpubench.results.document import ErrorInfo, Finding
from gpubench.results.machine import Telemetry
from tests.comparison.acceptance.fleet import board, claim, integrity, run, verdict
from tests.documents import document, measurement

TWO_OF_THREE = Rules(attempts=AttemptRule(2, 3))


def test_one_slow_pass_of_three_is_no_fault() -> None:
    runs = [run(1600), run(1100, attempt=2), run(1601, attempt=3)]
    for rules in (None, TWO_OF_THREE):
        found = claim(verdict(runs, rules))
        assert found.status == "OK"
        assert found.figure == 1600e9
        assert [attempt.result for attempt in found.attempts] == ["pass", "fail", "pass"]


def test_two_slow_passes_of_three_are() -> None:
    """The best alone would pass."""
    runs = [run(1100), run(1700, attempt=2), run(1200, attempt=3)]
    found = claim(verdict(runs, TWO_OF_THREE))
    assert (found.code, found.figure) == ("GB-BW-LOW", 1200e9)
    assert "1 of 3 attempts reached the floor" in found.text


def test_what_further_attempts_cannot_change_is_decided() -> None:
    assert verdict([run(1600), run(1600, attempt=2)], TWO_OF_THREE).status == "OK"
    assert verdict([run(1100), run(1100, attempt=2)], TWO_OF_THREE).codes == ["GB-BW-LOW"]
    for runs in ([run(1600)], [run(1600), run(1100, attempt=2)], [run(1600, 1, "contended")]):
        assert verdict(runs, TWO_OF_THREE).codes == ["GB-UNDECIDED"]


def test_only_the_newest_attempts_count() -> None:
    repaired = [run(1100, attempt=n) for n in (1, 2, 3)] + [run(1600, attempt=n) for n in (4, 5, 6)]
    broken = [run(1600, attempt=n) for n in (1, 2, 3)] + [run(1100, attempt=n) for n in (4, 5, 6)]
    for order in (1, -1):
        assert verdict(repaired[::order], TWO_OF_THREE).status == "OK"
        assert verdict(broken[::order], TWO_OF_THREE).status == "DEGRADED"


def test_a_draw_of_given_documents_is_undecided() -> None:
    assert verdict([run(1600), run(1100, attempt=2)]).codes == ["GB-UNDECIDED"]


def test_a_run_given_twice_is_one_attempt() -> None:
    assert len(claim(verdict([run(1600), run(1600)])).attempts) == 1


@pytest.mark.parametrize(("needed", "total"), [(1, 2), (1, 3), (2, 4), (0, 1), (3, 2), (60, 100)])
def test_no_rule_lets_a_minority_decide(needed: int, total: int) -> None:
    with pytest.raises(InvalidParameters, match="more than half"):
        AttemptRule(needed, total)


@pytest.mark.parametrize(
    "rule", [None, AttemptRule(1, 1), AttemptRule(2, 3), AttemptRule(3, 3), AttemptRule(3, 5)]
)
def test_the_decision_agrees_with_the_median(rule: AttemptRule | None) -> None:
    """Over every series of results: what passes has at least half of its attempts at or above the floor."""
    for results in product(("pass", "fail", "unknown"), repeat=rule.total if rule else 4):
        attempts = [Attempt(run_id="r", result=each, code="GB-CONTENDED") for each in results]  # type: ignore[arg-type]
        word = decide(attempts, rule).word
        passes, fails = results.count("pass"), results.count("fail")
        assert word != "pass" or passes > fails
        assert word != "fail" or fails >= (rule.total - rule.needed + 1 if rule else passes)
        assert passes or word != "pass"


def test_nothing_is_unknown() -> None:
    assert worst([]) == "UNKNOWN"
    report = judge([])
    assert (report.status, report.codes) == ("UNKNOWN", ["GB-NO-DEVICE"])


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("contended", "GB-CONTENDED"),
        ("unverified", "GB-UNVERIFIED"),
        ("cached_footprint", "GB-NOT-OF-MEMORY"),
        ("over_theory", "GB-NOT-OF-MEMORY"),
    ],
)
def test_a_figure_that_does_not_count_is_never_all_right(flag: Flag, code: str) -> None:
    found = verdict([run(1600, 1, flag)])
    assert (found.status, found.codes) == ("UNKNOWN", [code])


def test_every_flag_is_refused_or_harmless_above_floor() -> None:
    """A new flag must be decided upon: whether a figure that bears it may be called all right."""
    refused = {"contended", "unverified", "cached_footprint", "over_theory"}
    needs_baseline = {"cache_unknown"}
    for flag in FLAGS:
        expected = "UNKNOWN" if flag in refused | needs_baseline else "OK"
        assert verdict([run(1600, 1, flag)]).status == expected, flag


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("clock_limited", "GB-CLOCK-LOW"),
        ("power_limited", "GB-POWER-LIMITED"),
        ("thermal_limited", "GB-HEAT-LIMITED"),
        ("drifting", "GB-BW-LOW"),
    ],
)
def test_the_cause_of_a_low_bandwidth_is_named(flag: Flag, code: str) -> None:
    assert verdict([run(1300, 1, flag)]).codes == [code]


def test_a_contended_attempt_does_not_count() -> None:
    busy = [run(1000, 1, "contended"), run(1600, attempt=2), run(1600, attempt=3)]
    assert verdict(busy, TWO_OF_THREE).status == "OK"
    assert verdict([run(1000, 1, "contended", attempt=n) for n in (1, 2, 3)], TWO_OF_THREE).codes == [
        "GB-CONTENDED"
    ]


def test_not_verified_is_unknown_and_wrong_data_are_a_failure() -> None:
    unverified = document(measurement(1600, "triad", verified=False), device=board())
    assert verdict([unverified]).codes == ["GB-UNVERIFIED"]
    wrong = document(
        measurement(1600, "triad", "unverified", status="unverified", verified=False, mismatches=3),
        device=board(),
        environment=run(1600).environment,
        outcome="unverified",
    )
    found = verdict([wrong])
    assert (found.status, found.codes) == ("FAILED", ["GB-MEM-ERROR"])
    found = verdict([structs.replace(wrong, run_id="r0"), run(1600), run(1600, attempt=2)], TWO_OF_THREE)
    assert claim(found).status == "OK"
    assert (found.status, found.codes) == ("FAILED", ["GB-MEM-ERROR"])


def test_one_wrong_bit_in_any_run_fails_the_memory() -> None:
    runs = [run(1600, attempt=n, findings=[integrity(n == 2)]) for n in (1, 2, 3)]
    found = verdict(runs, TWO_OF_THREE)
    assert (found.status, found.codes) == ("FAILED", ["GB-MEM-ERROR"])
    assert "run-a-1-2" in claim(found, "memory").text
    assert verdict([run(1600, findings=[integrity(0)])]).status == "OK"


def test_uncorrected_ecc_errors_fail_the_device() -> None:
    def counted(count: int | None) -> str:
        return verdict([run(1600, telemetry=Telemetry(ecc_errors_uncorrected=count))]).status

    assert [counted(None), counted(0), counted(2)] == ["OK", "OK", "FAILED"]


def test_slow_slices_degrade() -> None:
    def mapped(regions: int) -> list[str]:
        finding = Finding("map", "slow_regions", f"{regions} slow regions", regions)
        return verdict([run(1600, findings=[finding])]).codes

    assert (mapped(0), mapped(1)) == ([], ["GB-MAP-SLOW"])


def test_a_lost_device_fails_even_if_another_run_is_complete() -> None:
    lost = run(
        1600, attempt=2, outcome="device_lost", error=ErrorInfo("device_lost", -32021, "it died", True)
    )
    found = verdict([run(1600), lost])
    assert (found.status, found.codes) == ("FAILED", ["GB-DEVICE-LOST"])
    assert "it died" in found.text


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "timeout"])
def test_an_incomplete_run_is_not_all_right(outcome: str) -> None:
    found = verdict([run(1600, outcome=outcome)])
    assert (found.status, found.codes) == ("UNKNOWN", ["GB-NOT-MEASURED"])
    assert verdict([run(1600, outcome=outcome), run(1600, attempt=2)]).status == "OK"


def test_a_run_without_a_bandwidth_says_so() -> None:
    assert verdict([document(device=board())]).codes == ["GB-NOT-MEASURED"]


def test_a_run_without_a_device() -> None:
    none = document(outcome="failed", error=ErrorInfo("no_such_device", -32020, "no GPU", False))
    none = structs.replace(none, device=None)
    assert judge([none]).codes == ["GB-NO-DEVICE"]


@pytest.mark.parametrize("peak", [0.0, -1.0, float("inf"), float("nan")])
def test_a_theory_that_is_no_number_expects_nothing(peak: float) -> None:
    good = run(1600)
    assert good.theory is not None
    damaged = structs.replace(good, theory=structs.replace(good.theory, peak_bytes_per_second=peak))
    found = verdict([damaged], Rules(Sources(min_efficiency=0.9)))
    assert (found.status, found.codes) == ("UNKNOWN", ["GB-NO-EXPECTATION"])


def test_a_missing_device_is_a_failure() -> None:
    rules = Rules(expected_devices=2)
    assert judge([run(1600)], rules).codes == ["GB-DEVICE-MISSING"]
    assert judge([run(1600)], rules).status == "FAILED"
    assert judge([run(1600), run(1600, 2)], rules).status == "OK"


def test_boards_at_one_address_of_one_host_name_are_several() -> None:
    """As virtual machines have them: three H200s were taken for one board with three attempts."""
    same = {"hardware_id": "00000000:00:06.0"}
    fast = [run(1600, number, device=board(number, **same)) for number in (1, 2)]
    slow = run(1000, 3, device=board(3, **same))
    found = judge([*fast, slow], Rules(expected_devices=3))
    assert [each.status for each in found.devices] == ["OK", "OK", "DEGRADED"]
    assert found.codes == ["GB-BW-LOW"]
    assert learn([*fast, slow]).baseline.board[0].figure[0].boards == 3


def test_one_board_seen_by_two_runtimes_counts_once() -> None:
    twice = [run(1600), run(1600, attempt=2, device=board(id="opencl:nvidia:0", runtime="opencl"))]
    assert judge(twice, Rules(expected_devices=2)).codes[0] == "GB-DEVICE-MISSING"


def test_a_figure_without_expectation_does_not_count() -> None:
    """A figure without expectation does not count beside one that has."""
    both = document(measurement(1600, "triad"), measurement(1700, "write"), device=board())
    found = verdict([both])
    assert found.status == "OK"
    assert claim(found, "bandwidth of write").code == "GB-NO-EXPECTATION"


def test_slower_together_is_a_finding_of_its_own() -> None:
    alone = [run(1600), run(1600, 2)]

    def beside(gb: float, number: int = 1):  # type: ignore[no-untyped-def]
        return run(gb, number, "contended", attempt=9, key=f"{TOGETHER_KEY}{number}")

    found = verdict([*alone, beside(1400), beside(1599, 2)])
    assert found.codes == ["GB-BW-TOGETHER"]
    assert claim(found).status == "OK"
    assert verdict([*alone, beside(1400), beside(1599, 2)], number=2).status == "OK"


def test_devices_with_one_name_on_two_hosts_are_two() -> None:
    assert len(judge([run(1600), run(1600, host="b")]).devices) == 2


def test_the_worst_status_is_the_reports() -> None:
    runs = [run(1650, n) for n in range(1, 9)]
    assert judge(runs).status == "OK"
    assert judge([*runs[1:], run(1650, 1, "contended")]).status == "UNKNOWN"
    assert judge([*runs[1:], run(1000)]).status == "DEGRADED"


def test_every_code_has_an_action_and_is_used() -> None:
    """Stable: a code is never renamed, and none is without a meaning."""
    from pathlib import Path

    root = Path(__file__).parents[3]
    sources = [*(root / "gpubench").rglob("*.py"), *(root / "clients").rglob("*.py")]
    text = "".join(path.read_text() for path in sources if path.name != "faults.py")
    for code, row in FAULTS.items():
        assert f'"{code}"' in text, code
        assert row.action.endswith(".")
        assert row.meaning.endswith(".")
        assert row.status != "OK"
