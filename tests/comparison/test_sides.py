"""Any number of sides against one of them: pooled figures, verdicts, means, and boards of the catalogue."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gpubench.catalog.lookup import find_board
from gpubench.comparison.sides import Row, Side, SidesComparison, compare_sides, published_beside
from gpubench.comparison.verdicts import compare_runs
from gpubench.errors import InvalidParameters
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.document import Summary as Latency
from tests.documents import document, measurement


def runs(*figures: float, benchmark: str = "triad", **fields: Any) -> tuple[RunDocument, ...]:
    return tuple(
        document(measurement(gb, benchmark, **fields), run_id=f"run-{number}")
        for number, gb in enumerate(figures)
    )


def only(comparison: SidesComparison) -> Row:
    [row] = comparison.rows
    return row


def test_each_side_is_pooled_and_judged_against_the_baseline() -> None:
    sides = [
        Side("a", runs(1502, 1500, 1503, 1501, 1500)),
        Side("b", runs(1400, 1402, 1401, 1399, 1404)),
        Side("c", runs(*[1501] * 5)),
    ]
    row = only(compare_sides(sides))
    first, second, _ = row.figures
    assert first is not None
    assert (first.runs, first.median, first.low) == (5, 1501e9, 1500e9 * 0.998)
    assert first.high == pytest.approx(1503e9 * 1.002)
    assert first.spread_ratio == pytest.approx(3 / 1501)
    assert first.nominal_ratio == pytest.approx(1501 / 1792.128)
    assert first.per_pin_bits_per_second == pytest.approx(1501e9 * 8 / 512)
    assert first.per_module_bytes_per_second == pytest.approx(1501e9 / 16)
    assert second is not None
    assert second.median == 1401e9
    assert [each and each.verdict for each in row.verdicts] == [None, "SLOWER", "SAME"]
    assert row.verdicts[1] == compare_runs(sides[0].documents, sides[1].documents)[0]


def test_any_side_may_be_the_baseline() -> None:
    sides = [Side("a", runs(*[1500] * 5)), Side("b", runs(*[1400] * 5))]
    row = only(compare_sides(sides, 1))
    assert [each and each.verdict for each in row.verdicts] == ["FASTER", None]
    for wrong in (2, -1):
        with pytest.raises(InvalidParameters, match="must be one of the 2 sides"):
            compare_sides(sides, wrong)


def test_a_single_run_has_no_spread() -> None:
    first = only(compare_sides([Side("a", runs(1500)), Side("b", runs(1500))])).figures[0]
    assert first is not None
    assert first.spread_ratio is None


def test_figures_that_may_not_be_compared_are_not_pooled() -> None:
    unverified = runs(9000, verified=False)
    row = only(compare_sides([Side("a", (*runs(1500), *unverified)), Side("b", unverified)]))
    assert row.figures[0] is not None
    assert row.figures[0].median == 1500e9
    assert row.figures[1] is None
    assert row.verdicts[1] is not None
    assert row.verdicts[1].reason_code == "not_verified"


def test_a_side_that_lacks_a_benchmark_is_said() -> None:
    sides = [Side("a", runs(1500)), Side("b", runs(1500, benchmark="copy")), Side("c", runs(1500))]
    triad, copy = compare_sides(sides).rows
    assert [each is None for each in triad.figures] == [False, True, False]
    assert [each and each.reason_code for each in triad.verdicts] == [None, "only_first_side", "few_runs"]
    assert [each and each.reason_code for each in copy.verdicts] == [None, "only_second_side", None]


def test_settings_that_differ_are_two_rows_and_no_verdict() -> None:
    other = runs(1600, parameters={"dtype": "int32"})
    rows = compare_sides([Side("a", runs(1500)), Side("b", other)]).rows
    assert [dict(row.apart) for row in rows] == [{"dtype": "float64"}, {"dtype": "int32"}]
    assert [row.verdicts[1] and row.verdicts[1].reason_code for row in rows] == ["settings_differ"] * 2


def latency(seconds: float, size: int) -> Measurement:
    return measurement(
        1.0,
        "latency",
        axes={"footprint_bytes": size},
        quantity="latency",
        latency_seconds=Latency(*[seconds] * 7),
        bandwidth_bytes_per_second=None,
    )


def test_means_are_of_a_familys_comparable_ratios() -> None:
    """Latencies are a family of their own, and a benchmark that this program does not know one too."""

    def side(name: str, triad: float, copy: float, seconds: float) -> Side:
        measured = [
            measurement(triad, spread=0.001),
            measurement(copy, "copy", spread=0.001),
            measurement(5.0, "read", verified=False),
            measurement(50.0, "of another version"),
            latency(seconds, 100),
        ]
        return Side(name, tuple(document(*measured, run_id=f"{name}{n}") for n in range(5)))

    comparison = compare_sides([side("a", 1000, 1000, 1e-7), side("b", 900, 400, 2e-7)])
    stream, other, chase = comparison.means
    assert (stream.family, stream.side, stream.rows) == ("stream", 1, 2)
    assert stream.ratio == pytest.approx(math.sqrt(0.9 * 0.4))
    assert stream.low < stream.ratio < stream.high
    assert (other.family, other.ratio) == ("of another version", 1.0)
    assert (chase.family, chase.ratio) == ("latency", pytest.approx(0.5))
    assert chase.rows == 1


def test_a_board_stands_beside_without_a_verdict() -> None:
    """A board stands beside with theory and others figures and no verdict."""
    board = Side("5090", board=find_board("RTX 5090"))
    copies = tuple(
        document(measurement(1500.0, "copy"), latency(1e-7, 100), run_id=f"r{n}") for n in range(5)
    )
    row, curve = compare_sides([Side("a", copies), board]).rows
    peak, verdict = row.figures[1], row.verdicts[1]
    assert peak is not None
    assert verdict is not None
    assert (peak.runs, peak.median, peak.low, peak.nominal_ratio) == (0, 1792e9, None, 1.0)
    assert (verdict.verdict, verdict.reason_code) == ("NOT COMPARABLE", "not_a_measurement")
    assert verdict.ratio == pytest.approx(1792 / 1500)
    assert verdict.low == pytest.approx(1792 / 1503)
    published = published_beside(row, 0, 1)
    assert published
    assert all(
        each.measured_ratio == pytest.approx(1500e9 / each.bandwidth_bytes_per_second) for each in published
    )
    assert curve.figures[1] is None  # a peak says nothing about a latency
    assert curve.verdicts[1] is None


def test_a_board_may_be_the_baseline() -> None:
    board = Side("5090", board=find_board("RTX 5090"))
    comparison = compare_sides([board, Side("a", runs(*[1500] * 5)), Side("b", runs(*[1400] * 5))])
    row = only(comparison)
    assert [each and each.ratio for each in row.verdicts] == [
        None,
        pytest.approx(1500 / 1792),
        pytest.approx(1400 / 1792),
    ]
    assert comparison.means == ()
