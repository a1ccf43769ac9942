"""A device's bus with every generation of GDDR, and vendors' claims beside what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from gpubench.catalog.load import claims
from gpubench.catalog.lookup import find_board
from gpubench.comparison.generations import Generations, generations_of
from gpubench.comparison.sides import Side, compare_sides
from gpubench.report.generations import claims_table, generations_table, notes
from gpubench.results.document import Finding, Measurement, RunDocument
from gpubench.units import GIB
from tests.documents import document, h200, measurement, processor


def generations(*measurements: Measurement, **fields: Any) -> Generations:
    return of_runs(document(*measurements, **fields))


def of_runs(*runs: RunDocument) -> Generations:
    side = Side("runs", runs)
    return generations_of(side, 0, compare_sides([side]).rows)


def test_the_bus_of_a_gddr_board_with_each_generation() -> None:
    found = generations(measurement(1612.8, spread=0.01), measurement(1700.0, "copy"))
    assert found.benchmark == "triad"
    by_id = {each.technology: each for each in found.generations}
    assert list(by_id) == [
        *("gddr6-14", "gddr6-16", "gddr6-18", "gddr6-20", "gddr6x-21", "gddr7-28", "gddr7-32"),
    ]
    assert {each.bus_width_bits for each in found.generations} == {512}
    old, new = by_id["gddr6-16"], by_id["gddr7-32"]
    assert (old.peak_bytes_per_second, new.peak_bytes_per_second) == (1024e9, 2048e9)
    assert old.theory_ratio == pytest.approx(1.75, rel=1e-3)
    assert old.measured_ratio == pytest.approx(1612.8 / 1024)
    assert new.projection is not None
    assert new.projection.median_bytes_per_second == pytest.approx(0.9 * 2048e9, rel=1e-3)
    assert new.projection.low_bytes_per_second == pytest.approx(0.99 * new.projection.median_bytes_per_second)
    assert old.capacities_bytes == (32 * GIB, None)  # there is no GDDR6 of 24 Gbit
    assert new.capacities_bytes == (32 * GIB, 48 * GIB)


def test_runs_are_pooled() -> None:
    found = of_runs(*(document(measurement(gb), run_id=str(gb)) for gb in (1500.0, 1600.0, 1610.0)))
    assert found.measured is not None
    assert (found.measured.runs, found.measured.median) == (3, 1600e9)


def test_figures_that_are_not_the_memorys_own_represent_no_run() -> None:
    found = generations(measurement(1900.0, "triad", "over_theory"), measurement(1500.0, "dot"))
    assert (found.benchmark, found.no_projection) == ("dot", None)
    found = generations(measurement(1500.0, "triad", "unstable"))
    assert found.benchmark == "triad"
    assert found.no_projection == "the figure is flagged: unstable"
    assert all(each.projection is None for each in found.generations)
    assert "No projection of A: the figure is flagged: unstable." in notes([found])


@pytest.mark.parametrize("device", [h200(), processor()])
def test_other_memory_is_compared_at_three_widths(device: Any) -> None:
    """Other memory is compared at three widths and not projected."""
    found = generations(measurement(300.0), device=device)
    assert sorted({each.bus_width_bits for each in found.generations}) == [256, 384, 512]
    assert all(each.measured_ratio and each.projection is None for each in found.generations)
    assert found.no_projection is not None
    assert any("HBM" in text for text in found.not_allowed) == (device == h200())


def test_a_board_that_is_not_here_has_theory_alone() -> None:
    found = generations_of(Side("x", board=find_board("RTX 4090")), 0)
    assert (found.benchmark, found.measured, found.no_projection) == (None, None, None)
    assert {each.bus_width_bits for each in found.generations} == {384}
    assert all(each.theory_ratio and each.measured_ratio is None for each in found.generations)
    cells = {row[3]: row[5] for row in claims_table(found).rows}
    assert cells["20 % better energy efficiency versus GDDR6"] == "energy not measured"


def test_claims_stand_beside_what_was_measured_about_the_same() -> None:
    energy = Finding("sustained", "energy_per_bit_above_idle", "5.10 pJ/bit above idle", 5.1e-12, "J/bit")
    found = generations(measurement(1612.8), findings=[energy])
    cells = {row[3]: row[5] for row in claims_table(found).rows}
    assert cells["20 % better energy efficiency versus GDDR6"] == "5.10 pJ/bit above idle"
    [rated] = [cell for text, cell in cells.items() if text.startswith("16 Gb, up to 32 Gbps per pin")]
    assert rated == "25.20 Gbit/s per pin; 1612.8 GB/s"
    [warm] = [cell for text, cell in cells.items() if text.startswith("thermal resistance reduced by 70 %")]
    assert warm == "heat not measured"
    assert all(cells.values())


def test_every_claim_says_what_it_is_about() -> None:
    assert all(claim.about for claim in claims())


def test_what_cannot_be_concluded_is_said_once() -> None:
    found = generations(measurement(1612.8))
    lines = notes([found, found])
    assert len(lines) == len(set(lines))
    assert any("neither confirmed nor refuted" in line for line in lines)
    assert generations_table(found).title == ("A, NVIDIA GeForce RTX 5090, against generations of GDDR")
