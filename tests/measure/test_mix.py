"""Reads and writes mixed: each counted exactly, each verified."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpubench.benchmarks.mix import MIXES, findings
from gpubench.devices.base import Device
from gpubench.measure import shapes
from gpubench.results.document import Measurement, Summary
from tests.measure.conftest import MIB, Collected, Measure, run_on

FAULTS = {
    "a vector is not read": ("sum[u] += x[k * UNROLL + u]", "if (i) sum[u] += x[k * UNROLL + u]", "reads"),
    "one part is read twice": ("in[k * vectors + AT(u)]", "in[(k & ~1u) * vectors + AT(u)]", "parts read"),
    "a vector is not written": ("STORE(out + at", "if (at != 77) STORE(out + at", "writes"),
    "a neighbour is written": ("STORE(out + at,", "STORE(out + (at ^ 1),", "writes"),
    "one part is written twice": ("at = k * vectors + AT(u)", "at = AT(u)", "parts written"),
}
AFFECTED = {
    "reads": {mix for mix in MIXES if mix[0]},
    "writes": {mix for mix in MIXES if mix[1]},
    "parts read": {mix for mix in MIXES if mix[0] > 1},
    "parts written": {mix for mix in MIXES if mix[1] > 1},
}


@pytest.fixture(autouse=True)
def _one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is tuned."""
    monkeypatch.setitem(shapes._PROCESSOR, "mix", ((64, 2, 1, "tile", True, 8),))


def by_mix(told: Collected) -> dict[tuple[int, int], Measurement]:
    return {(int(m.axes["reads"]), int(m.axes["writes"])): m for m in told.measurements}


def test_every_mix_moves_the_same_bytes_and_is_verified(measure: Measure) -> None:
    _, told = measure("mix")
    measured = by_mix(told)
    assert tuple(measured) == MIXES
    for (reads, _), m in measured.items():
        assert (m.status, m.verified) == ("ok", True)
        assert m.footprint_bytes and m.passes_per_sample and m.shape and m.shape.groups
        assert 8 * MIB <= m.footprint_bytes < 9 * MIB
        assert m.payload_bytes == m.footprint_bytes * m.passes_per_sample
        sums = m.shape.groups * 8 * m.passes_per_sample if reads else 0
        assert m.bus_bytes == m.payload_bytes + sums
    assert len({m.footprint_bytes for m in measured.values()}) == 1
    assert [f.name for f in told.findings] == ["worst_mix_to_expected"]


def test_a_footprint_of_several_segments(open_as: Callable[..., Device]) -> None:
    _, told = run_on(open_as(max_allocation_bytes=3 * MIB), "mix")
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_costs_the_mixes_that_it_concerns(measure: Measure, fault: str) -> None:
    old, new, concerns = FAULTS[fault]
    _, told = measure("mix", faults=(("mix.cl", old, new),))
    assert {mix for mix, m in by_mix(told).items() if m.status == "unverified"} == AFFECTED[concerns]
    assert all(m.first_mismatches for m in told.measurements if m.status == "unverified")


def mixed(reads: int, writes: int, bandwidth: float, spread: float = 0.001) -> Measurement:
    low, high = bandwidth * (1 - spread), bandwidth * (1 + spread)
    rate = Summary(bandwidth, low, high, low, high, low, high)
    return Measurement(
        "mix", {}, "ok", axes={"reads": reads, "writes": writes}, bandwidth_bytes_per_second=rate
    )


def test_a_mix_is_set_against_what_pure_streams_let_expect() -> None:
    """Writing takes three times as long: 1:2 is the slowest, and 3:1 the one that loses."""
    measured = [mixed(1, 0, 90e9), mixed(3, 1, 48e9), mixed(1, 2, 3 / 7 * 90e9), mixed(0, 1, 30e9)]
    [finding] = findings(measured)
    assert finding.value == pytest.approx(0.8)
    assert "3:1 has 48.00 GB/s" in finding.text and "60.00 GB/s" in finding.text
    assert finding.text.startswith("turning the bus around costs up to 20.0 %: ")
    assert list(findings(measured[:-1])) == []


@pytest.mark.parametrize(
    ("bandwidth", "spread", "cost"),
    [
        (97.9e9, 0.01, "no measurable cost of turning the bus around (at most 3.2 %): "),
        (90e9, 0.1, "no measurable cost of turning the bus around (at most 19.1 %): "),
        (120e9, 0.3, "no measurable cost of turning the bus around (at most 16.1 %): "),
        (120e9, 0.001, "turning the bus around costs less than 2.0 %: "),
    ],
)
def test_a_cost_within_the_noise_is_a_bound(bandwidth: float, spread: float, cost: str) -> None:
    """A mix of 120 GB/s would be "120.0 % of" what is expected, and its cost -20.0 %."""
    [finding] = findings([mixed(1, 0, 100e9), mixed(1, 1, bandwidth, spread), mixed(0, 1, 100e9)])
    assert finding.value == pytest.approx(bandwidth / 100e9)
    assert finding.text.startswith(cost)


def test_the_bound_is_that_of_the_mix_which_is_known_least() -> None:
    measured = [mixed(1, 0, 100e9), mixed(1, 1, 99e9), mixed(3, 1, 110e9, 0.4), mixed(0, 1, 100e9)]
    [finding] = findings(measured)
    assert finding.text.startswith("no measurable cost of turning the bus around (at most 34.1 %): 1:1 has ")
