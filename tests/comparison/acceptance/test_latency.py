"""The latency of memory: learned, and held against a baseline or twins, never against theory."""

from __future__ import annotations

import re

import msgspec
import pytest

from gpubench.comparison.acceptance import (
    AttemptRule,
    Rules,
    Sources,
    judge,
    learn,
    read_baseline,
    render_baseline,
)
from gpubench.errors import InvalidParameters
from gpubench.results.document import RunDocument
from tests.comparison.acceptance.fleet import board, claim, latencies, run_of, verdict
from tests.documents import document, measurement
from tests.report.reports import recorded

NAME = "latency of memory"


def chase(nanoseconds: float, number: int = 1, *, attempt: int = 1, **fields: object) -> RunDocument:
    points = latencies(nanoseconds * 0.99, nanoseconds, nanoseconds * 1.02, **fields)
    return run_of(points, number, attempt=attempt)


EIGHT = [chase(600 + number, number) for number in range(1, 9)]


def test_the_slow_board_is_found_by_its_twins() -> None:
    runs = [chase(680), *EIGHT[1:]]
    found = claim(verdict(runs), NAME)
    assert (found.code, found.unit, found.figure) == ("GB-LAT-HIGH", "s", pytest.approx(680e-9))
    assert found.expected is not None and found.expected.link == "twins"
    assert found.expected.floor is None and found.expected.ceiling is not None
    assert 605e-9 < found.expected.ceiling < 660e-9
    assert "680 ns" in found.text and "above its ceiling of" in found.text
    assert "no limit was seen" in found.text
    assert all(verdict(runs, number=number).status == "OK" for number in range(2, 9))


def test_a_quick_board_is_no_fault() -> None:
    assert verdict([chase(400), *EIGHT[1:]]).status == "OK"


def test_slow_boards_do_not_widen_the_margin() -> None:
    runs = [chase(900), chase(1000, 2), chase(950, 3), *EIGHT[3:]]
    assert [verdict(runs, number=number).status for number in range(1, 9)] == ["DEGRADED"] * 3 + ["OK"] * 5


def test_it_is_learned_written_and_read() -> None:
    baseline = learn(EIGHT).baseline
    (figure,) = baseline.board[0].figure
    assert figure.median_seconds == pytest.approx(604.5e-9)
    assert figure.median_bytes_per_second is None
    read = read_baseline(render_baseline(baseline))
    assert read == baseline
    rules = Rules(Sources(baseline=read))
    assert verdict([chase(610)], rules).status == "OK"
    assert verdict([chase(660)], rules).codes == ["GB-LAT-HIGH"]


def test_learning_names_a_board_with_a_high_latency() -> None:
    (warning,) = learn([*EIGHT[1:], chase(800)]).warnings
    assert "0000:01:00.0 is 800 ns" in warning
    assert "above the median" in warning


@pytest.mark.parametrize("line", ["median_bytes_per_second = 6.045e-07", "# neither"])
def test_a_latency_without_seconds_is_refused(line: str) -> None:
    text = re.sub("median_seconds = .*", line, render_baseline(learn(EIGHT).baseline))
    with pytest.raises(InvalidParameters, match="latency needs median_seconds"):
        read_baseline(text)


def test_theory_says_nothing_about_it() -> None:
    for rules in (Rules(), Rules(Sources(min_efficiency=0.5))):
        found = verdict([chase(5000)], rules)
        assert (found.status, found.codes) == ("UNKNOWN", ["GB-NO-EXPECTATION"])


def test_it_does_not_count_beside_what_is_judged() -> None:
    beside = run_of([measurement(1600, "triad"), *latencies(600)])
    assert verdict([beside]).status == "OK"
    unknown = document(measurement(1600, "triad"), *latencies(600), device=board(name="Some New Board"))
    assert verdict([unknown]).codes == ["GB-NO-EXPECTATION"]


def test_a_known_latency_leaves_a_bandwidth_unknown() -> None:
    """Nobody knows what this board's triad should be; that its latency is right does not say it."""
    info = board(name="Some New Board")

    def both(attempt: int) -> RunDocument:
        points = [measurement(1600, "triad"), *latencies(600)]
        return document(*points, device=info, run_id=f"r{attempt}")

    latency_alone = learn([document(*latencies(600), device=info, run_id=f"l{n}") for n in range(3)]).baseline
    found = verdict([both(1)], Rules(Sources(baseline=latency_alone)))
    assert claim(found, NAME).status == "OK"
    assert (found.status, found.codes) == ("UNKNOWN", ["GB-NO-EXPECTATION"])


def test_only_points_in_memory_count() -> None:
    near = run_of(latencies()[:1])
    found = verdict([near, *EIGHT[1:]])
    assert found.codes == ["GB-NOT-OF-MEMORY"]
    assert "the curve ends at 32 MiB, and memory begins at 288 MiB" in claim(found, NAME).text


def test_contended_points_are_left_out() -> None:
    busy = latencies(900, flags=["contended"])[1]
    some = run_of([busy, *latencies(605)])
    assert claim(verdict([some, *EIGHT[1:]]), NAME).figure == pytest.approx(605e-9)
    assert verdict([run_of([busy]), *EIGHT[1:]]).codes == ["GB-CONTENDED"]


def test_the_limit_that_was_seen_is_named() -> None:
    hot = chase(680, flags=["thermal_limited"])
    found = claim(verdict([hot, *EIGHT[1:]]), NAME)
    assert "thermal_limited: the driver lowered clocks because the device was hot" in found.text


def test_attempts_decide_as_for_a_bandwidth() -> None:
    runs = [chase(605), chase(900, attempt=2), chase(606, attempt=3), *EIGHT[1:]]
    found = claim(verdict(runs, Rules(attempts=AttemptRule(2, 3))), NAME)
    assert (found.status, [each.result for each in found.attempts]) == ("OK", ["pass", "fail", "pass"])
    slow = [chase(900), chase(901, attempt=2), *EIGHT[1:]]
    assert "0 of 2 attempts were within the ceiling" in claim(verdict(slow), NAME).text


@pytest.mark.parametrize("changes", [{"latency_seconds": None}, {"footprint_bytes": None}, {"axes": {}}])
def test_a_damaged_point_raises_nothing(changes: dict[str, object]) -> None:
    points = [msgspec.structs.replace(each, **changes) for each in latencies(600)]
    assert judge([run_of(points), *EIGHT[1:]]).devices


def test_attempts_without_the_older_benchmark() -> None:
    """The newest runs measured something else than the oldest one."""
    runs = [run_of([measurement(1600, "triad")]), *(chase(600, attempt=n) for n in (2, 3, 4))]
    found = verdict(runs, Rules(attempts=AttemptRule(2, 3)))
    assert claim(found).code == "GB-UNDECIDED"


def test_a_recorded_run_has_the_latency_of_its_memory() -> None:
    """At random over 96 to 256 MiB with 32 MiB of cache; two of its six points are not contended."""
    [kept] = recorded()
    found = claim(judge([kept.document]).devices[0], NAME)
    assert found.code == "GB-NO-EXPECTATION"
    assert found.figure == pytest.approx(210e-9, rel=0.01)
    twin = claim(judge([kept.document, as_another_board(kept.document)]).devices[0], NAME)
    assert twin.status == "OK"


def as_another_board(run: RunDocument) -> RunDocument:
    assert run.device is not None
    device = msgspec.structs.replace(run.device, hardware_id="another")
    return msgspec.structs.replace(run, run_id="another", device=device)
