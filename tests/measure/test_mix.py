"""Reads and writes mixed: each counted exactly, each verified."""

from __future__ import annotations

import msgspec
import pytest

from gpubench.benchmarks.mix import MIXES, findings
from gpubench.devices.base import Device
from gpubench.measure import shapes
from gpubench.results.document import Measurement, Summary
from tests.measure.conftest import MIB, Collected, Measure

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
    monkeypatch.setitem(shapes._PROCESSOR, "mix", ((64, 2, True),))


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
    assert [f.name for f in told.findings] == ["worst_mix_to_pure"]


def test_a_footprint_of_several_segments(
    device: Device, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = msgspec.structs.replace(device.info, max_allocation_bytes=3 * MIB)
    monkeypatch.setattr(device, "_info", small)
    _, told = measure("mix")
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_costs_the_mixes_that_it_concerns(measure: Measure, fault: str) -> None:
    old, new, concerns = FAULTS[fault]
    _, told = measure("mix", faults=(("mix.cl", old, new),))
    assert {mix for mix, m in by_mix(told).items() if m.status == "unverified"} == AFFECTED[concerns]
    assert all(m.first_mismatches for m in told.measurements if m.status == "unverified")


def mixed(reads: int, writes: int, bandwidth: float) -> Measurement:
    rate = Summary(*[bandwidth] * 7)
    return Measurement(
        "mix", {}, "ok", axes={"reads": reads, "writes": writes}, bandwidth_bytes_per_second=rate
    )


def test_the_slowest_mix_is_set_against_the_mean_of_the_pure_ones() -> None:
    measured = [mixed(1, 0, 110e9), mixed(2, 1, 95e9), mixed(1, 1, 80e9), mixed(0, 1, 90e9)]
    [finding] = findings(measured)
    assert finding.value == pytest.approx(0.8)
    assert "1:1 is the slowest mix" in finding.text and "20.0% less" in finding.text
    assert list(findings(measured[:-1])) == []
