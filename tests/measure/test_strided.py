"""Strides and misaligned starts: what was asked for, and what had to be moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gpubench.benchmarks import strided
from gpubench.benchmarks.strided import OFFSETS, STRIDES, findings, phases
from gpubench.devices.base import Device
from gpubench.results.document import Measurement
from tests.measure.conftest import MIB, Measure, run_on

FAULTS = {
    "an element is left out": ("x[u] = a[start", "x[u] = AT(u) == 77 ? 0 : a[start"),
    "the start is forgotten": ("a[start + AT(u)", "a[AT(u)"),
    "a neighbour is read": ("AT(u) * STRIDE]", "AT(u) * STRIDE + (AT(u) == 77)]"),
    "elements are read twice": ("AT(u) * STRIDE]", "(AT(u) & ~(u64)1) * STRIDE]"),
}


def touched(m: Measurement) -> np.ndarray:
    """The elements of one pass, as the benchmark promises them: sector after sector, stride by stride."""
    assert m.footprint_bytes
    stride, offset = int(m.axes["stride_elements"]), int(m.axes["offset_elements"])
    slack = max(OFFSETS) if stride == 1 else 0  # so that all starts have as many
    elements = (m.footprint_bytes // 4 - slack) // stride // 64 * 64
    walks = [offset + 16 * phase for phase in range(max(1, stride // 16))]
    return np.concatenate([start + stride * np.arange(elements) for start in walks])


def test_payload_is_requested_bytes_and_bus_bytes_whole_sectors(measure: Measure) -> None:
    _, told = measure("strided", footprint_bytes=MIB)
    assert [(m.axes["stride_elements"], m.axes["offset_elements"]) for m in told.measurements] == [
        *((stride, 0) for stride in STRIDES),
        *((1, offset) for offset in OFFSETS[1:]),
    ]
    for m in told.measurements:
        assert (m.status, m.verified, m.passes_per_sample) == ("ok", True, 1)
        elements = touched(m)
        assert len(np.unique(elements)) == len(elements)
        assert m.payload_bytes == 4 * len(elements)
        assert m.bus_bytes == 64 * len(np.unique(elements // 16))
        assert m.footprint_bytes and m.bus_bytes > 0.8 * m.footprint_bytes
    assert [f.name for f in told.findings] == ["access_granularity", "misalignment_cost"]


def test_no_sector_is_touched_twice_in_a_pass() -> None:
    assert [phases(stride, 64) for stride in STRIDES] == [1, 1, 1, 1, 1, 2, 4]
    assert [phases(stride, 32) for stride in STRIDES] == [1, 1, 1, 1, 2, 4, 8]


@pytest.mark.usefixtures("few_strides")
def test_a_footprint_of_several_segments(open_as: Callable[..., Device]) -> None:
    _, told = run_on(open_as(max_allocation_bytes=3 * MIB), "strided")
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.fixture
def few_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a walk, one of several, so that little is compiled."""
    monkeypatch.setattr(strided, "STRIDES", (1, 64))


@pytest.mark.usefixtures("few_strides")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(measure: Measure, fault: str) -> None:
    _, told = measure("strided", footprint_bytes=2 * MIB, faults=(("strided.cl", *FAULTS[fault]),))
    wrong = {
        (m.axes["stride_elements"], m.axes["offset_elements"]) for m in told.measurements if m.mismatches
    }
    if fault == "the start is forgotten":  # only these have one
        assert wrong == {(64, 0), *((1, offset) for offset in OFFSETS[1:])}
    else:
        assert len(wrong) == len(told.measurements)
    assert all(m.status == "unverified" for m in told.measurements if m.mismatches)


def read(stride: int, offset: int, *payload_bandwidths: float) -> Measurement:
    axes: dict[str, int | float | str] = {"stride_elements": stride, "offset_elements": offset}
    seconds = [1000 / bandwidth for bandwidth in payload_bandwidths]
    return Measurement("strided", {}, "ok", axes=axes, payload_bytes=1000, samples_seconds=seconds)


@pytest.mark.parametrize(
    ("granularity", "found"), [(4, 4), (32, 32), (64, 64), (128, 128), (256, None), (1024, None)]
)
def test_the_granularity_is_where_the_payload_stops_halving(granularity: int, found: int | None) -> None:
    measured = [read(stride, 0, 100e9 / min(stride * 4, granularity)) for stride in STRIDES]
    [finding] = findings(measured)
    assert (finding.name, finding.value) == ("access_granularity", found)


def test_the_worst_start_is_set_against_the_aligned_one() -> None:
    measured = [read(1, 0, 20e9), read(1, 1, 19e9), read(1, 4, 15e9)]
    [finding] = findings(measured)
    assert finding.value == pytest.approx(0.25)
    assert finding.text == "a start off by 1 to 7 elements costs up to 25.0 % of the payload's bandwidth"


def test_a_start_that_costs_next_to_nothing() -> None:
    [finding] = findings([read(1, 0, 20e9), read(1, 4, 19.8e9)])
    assert "costs less than 2.0 %" in finding.text


@pytest.mark.parametrize(
    "curve",
    [
        [(100, 2), (98, 2), (50, 60), (25, 60), (12, 60), (12, 60), (12, 60)],
        [(100, 2), (98, 2), (60, 30), (34, 30), (17, 2), (8.5, 2), (8.5, 2)],
    ],
)
def test_a_halving_that_noise_may_hide_is_not_passed_over(curve: list[tuple[float, float]]) -> None:
    """Bandwidths with what they vary by, in percent. Before the first halving the loads themselves limit."""
    measured = [
        read(stride, 0, *(gb * 1e9 * (1 + sign * reach / 100) for sign in (-1, 0, 1)))
        for stride, (gb, reach) in zip(STRIDES, curve, strict=True)
    ]
    [finding] = findings(measured)
    assert finding.value is None
    assert finding.text.endswith("from a stride of 8 B to one of 16 B")


def test_noise_decides_on_no_granularity() -> None:
    """From 32 to 64 elements the bandwidth may halve, or may not."""
    measured = [read(stride, 0, 100e9 / (stride * 4)) for stride in STRIDES[:-1]]
    [finding] = findings([*measured, read(STRIDES[-1], 0, 0.6e9, 0.5e9, 0.4e9)])
    assert finding.value is None
    assert finding.text == (
        "no measurable access granularity: the noise hides whether the payload's bandwidth halves from a "
        "stride of 128 B to one of 256 B"
    )


@pytest.mark.parametrize(
    ("worst", "at_most"), [((15e9, 13e9, 22e9), "38.1 %"), ((20.2e9, 14e9, 22e9), "33.3 %")]
)
def test_a_cost_within_the_noise_is_a_bound(worst: tuple[float, ...], at_most: str) -> None:
    """The second start is faster in the median: its cost would be -1.0 %."""
    aligned, fast = read(1, 0, 20e9, 14e9, 21e9), read(1, 1, 23e9, 22.9e9, 23.1e9)
    [finding] = findings([aligned, fast, read(1, 4, *worst)])
    assert finding.value is None
    assert finding.text == f"no measurable cost of a start off by 1 to 7 elements (at most {at_most})"


def test_the_bound_is_that_of_the_start_which_is_known_least() -> None:
    [finding] = findings([read(1, 0, 20e9, 20e9), read(1, 1, 19.9e9, 19.9e9), read(1, 4, 21e9, 22e9, 12e9)])
    assert finding.text.endswith("(at most 40.0 %)")
