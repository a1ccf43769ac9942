"""The chain of expectations: which source is used, what it expects, and with which margin."""

from __future__ import annotations

import pytest

from gpubench.catalog.lookup import find_board
from gpubench.comparison.acceptance import Baseline, Rules, Sources, learn
from gpubench.comparison.acceptance.bands import Band, band_for
from gpubench.comparison.acceptance.baselines import BaselineBoard, BaselineFigure
from gpubench.comparison.acceptance.spread import BETWEEN_HOSTS_RATIO
from gpubench.results.document import RunDocument
from tests.comparison.acceptance.fleet import board, claim, run, verdict
from tests.documents import document, measurement, processor


def baseline(gb: float = 1600, **changes: object) -> Baseline:
    figure = {
        "benchmark": "triad",
        "parameters": '{"dtype":"float64"}',
        "median_bytes_per_second": gb * 1e9,
        "margin_ratio": 0.03,
    }
    usual = {"name": board().name, "runtime": "cuda", "kernels": "a1b2c3"}
    row = BaselineBoard(**{**usual, **changes}, figure=[BaselineFigure(**figure)])  # type: ignore[arg-type]
    return Baseline(board=[row])


def by(found: Baseline | None = None, **sources: object) -> Rules:
    return Rules(Sources(baseline=found, baseline_name="b.toml", **sources))  # type: ignore[arg-type]


EIGHT = [run(gb, number) for number, gb in enumerate([1658, 1657, 1666, 1660, 1661, 1662, 1659, 1663], 1)]
"""As published of eight boards in one host."""


def test_the_baseline_comes_first() -> None:
    found = claim(verdict([*EIGHT[1:], run(1580)], by(baseline())))
    assert found.expected is not None
    assert (found.expected.link, found.expected.value) == ("baseline", 1600e9)
    assert found.expected.floor == pytest.approx(1552e9)
    assert found.status == "OK"
    assert claim(verdict([run(1540)], by(baseline()))).code == "GB-BW-LOW"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "NVIDIA L40"}, "b.toml has no board NVIDIA GeForce RTX 5090"),
        ({"kernels": "ffff"}, "other kernels: learn it again"),
        ({"runtime": "opencl"}, "another runtime"),
    ],
)
def test_a_baseline_of_something_else_is_not_used(changes: dict[str, str], words: str) -> None:
    found = claim(verdict(EIGHT, by(baseline(900, **changes))))
    assert found.expected is not None
    assert found.expected.link == "twins"
    assert words in found.not_used[0]


def test_other_parameters_are_another_figure() -> None:
    floats = document(measurement(1600, "triad", parameters={"dtype": "float"}), device=board())
    found = claim(verdict([floats], by(baseline())))
    assert "with other parameters only" in found.not_used[0]


def test_the_slow_twin_is_found_by_its_twins() -> None:
    slow = [run(1550), *EIGHT[1:]]
    found = claim(verdict(slow))
    assert found.expected is not None
    assert (found.expected.link, found.code) == ("twins", "GB-BW-LOW")
    assert found.expected.margin_ratio < 0.03
    assert all(verdict(slow, number=number).status == "OK" for number in range(2, 9))


def test_slow_twins_do_not_hide_each_other() -> None:
    """Three of eight are slow: the spread of the others decides."""
    slow = [run(gb, number) for number, gb in enumerate([1100, 1200, 1150], 1)] + EIGHT[3:]
    assert [verdict(slow, number=number).status for number in range(1, 9)] == ["DEGRADED"] * 3 + ["OK"] * 5


def test_few_twins_are_held_within_what_hosts_differ() -> None:
    found = claim(verdict([run(1500), run(1640, 2)]))
    assert found.expected is not None
    assert found.expected.margin_ratio == pytest.approx(0.08)
    assert "1 board is too few" in found.expected.margin_why
    assert found.code == "GB-BW-LOW"
    assert verdict([run(1540), run(1640, 2)]).status == "OK"


def test_a_board_alone_is_held_against_what_is_published() -> None:
    found = claim(verdict([run(1600)]))
    assert found.expected is not None
    assert found.expected.link == "board"
    assert "published figures" in found.expected.why
    assert found.status == "OK"
    assert claim(verdict([run(1400)])).code == "GB-BW-LOW"


def test_a_board_without_figures_is_held_against_its_class() -> None:
    """Nobody published the triad of this one, but of other boards by NVIDIA with GDDR6X."""
    info = board(name="NVIDIA GeForce RTX 3090 Ti", bus_width_bits=384, memory_clock_hz=10_501_000_000)
    found = claim(verdict([document(measurement(920, "triad"), device=info)]))
    assert found.expected is not None
    assert found.expected.link == "class"
    assert found.status == "OK"


@pytest.mark.parametrize("name", ["Tesla T4", "AMD Instinct MI300X"])
def test_low_published_figures_expect_nothing(name: str) -> None:
    """An MI300X is published with 70 % of its theory for reads, by programs that do not saturate it: held
    against that, a slow one would pass. A T4 does not reach more; held against other boards with its kind of
    memory, a healthy one would fail."""
    for benchmark in ("read", "triad"):
        found = band_for(theory_like(find_board(name).id), benchmark)
        assert isinstance(found, str)
        assert "below 80.0 % of theory" in found


def test_a_board_that_nobody_knows_is_unknown() -> None:
    for info in (processor(), board(name="Some New Board")):
        found = judge_one(document(measurement(1600, "triad"), device=info))
        assert (found.status, found.codes) == ("UNKNOWN", ["GB-NO-EXPECTATION"])


def judge_one(run_document: RunDocument, rules: Rules | None = None):  # type: ignore[no-untyped-def]
    from gpubench.comparison.acceptance import judge

    return judge([run_document], rules).devices[0]


def test_like_another_board() -> None:
    info = board(name="Some New Board", bus_width_bits=None, memory_clock_hz=None)
    unknown = document(measurement(1600, "triad"), device=info)
    assert judge_one(unknown, by(like=find_board("RTX 5090"))).status == "OK"
    assert judge_one(unknown, by(like=find_board("H100 PCIe"))).codes == ["GB-BW-LOW"]


def test_a_figure_above_stated_theory_does_not_count() -> None:
    """A figure above the theory of the stated board does not count."""
    found = judge_one(run(1600), by(like=find_board("RTX 4090")))
    assert found.codes == ["GB-NOT-OF-MEMORY"]


def test_a_stated_efficiency_wins_over_everything() -> None:
    found = claim(verdict([*EIGHT[1:], run(1600)], by(baseline(1600), min_efficiency=0.9)))
    assert found.expected is not None
    assert (found.expected.link, found.code) == ("given", "GB-BW-LOW")
    assert verdict([run(1613)], by(min_efficiency=0.9)).status == "OK"


def test_a_tolerance_replaces_the_margin() -> None:
    assert verdict([run(1540)], by(baseline(), tolerance_ratio=0.05)).status == "OK"
    found = claim(verdict([run(1540)], by(baseline(), tolerance_ratio=0.05)))
    assert found.expected is not None
    assert found.expected.margin_why == "as given with --tolerance"


def test_an_unknown_cache_is_not_held_against_theory() -> None:
    found = claim(verdict([run(1600, 1, "cache_unknown")]))
    assert found.code == "GB-NO-EXPECTATION"
    assert any("cache is not known" in why for why in found.not_used)
    assert verdict([run(1600, 1, "cache_unknown")], by(baseline())).status == "OK"


def test_a_baseline_below_the_published_band_warns() -> None:
    (warning,) = claim(verdict([run(1000)], by(baseline(1000)))).warnings
    assert "below the floor" in warning
    assert claim(verdict([run(1600)], by(baseline()))).warnings == []


def test_a_margin_that_is_too_wide_is_not_used() -> None:
    noisy = [run(gb, attempt=number) for number, gb in enumerate([1600, 1000, 1700, 800, 1650])]
    found = claim(verdict([run(1600)], by(learn(noisy).baseline)))
    assert found.expected is not None
    assert found.expected.link == "board"
    assert "too wide" in found.not_used[0]


def test_figures_of_gpubench_come_before_those_of_others() -> None:
    """An H200 was published with 57 % of its theory for reads, and 66 % for copies."""
    for benchmark, ratio in (("read", 0.961), ("copy", 0.909), ("write", 0.977)):
        found = band_for(theory_like("nvidia-h200"), benchmark)
        assert isinstance(found, Band)
        assert found.median_ratio == pytest.approx(ratio, abs=0.01)
        assert found.floor_ratio == pytest.approx(found.median_ratio * (1 - BETWEEN_HOSTS_RATIO), abs=0.01)


@pytest.mark.parametrize(
    "name", ["RTX 5090", "RTX 4090", "H100 80GB HBM3", "RX 6900 XT", "L40", "A100-SXM4-40GB"]
)
def test_bands_of_known_boards_are_plausible(name: str) -> None:
    row = find_board(name)
    found = [band_for(theory_like(row.id), each) for each in ("copy", "triad", "read", "write", "dot")]
    bands = [each for each in found if not isinstance(each, str)]
    assert bands
    for each in bands:
        assert 0.7 < each.floor_ratio < each.median_ratio <= 1


def theory_like(board_id: str):  # type: ignore[no-untyped-def]
    from gpubench.results.machine import Theory

    return Theory("catalog", 1e12, 1e10, 256, board=board_id)
