"""Bandwidth over the number of groups: each point verified, whatever its number of groups."""

from __future__ import annotations

import pytest

from gpubench.benchmarks.occupancy import findings, group_counts
from gpubench.results.document import Measurement, Shape, Summary
from tests.measure.conftest import MIB, PINNED, Measure, run_on
from tests.simulated import SimulatedDevice

QUICK = {"footprint_bytes": 8 * MIB, "time_limit_seconds": 0.02}


def test_each_number_of_groups_is_measured_for_each_kernel(measure: Measure) -> None:
    _, told = measure("occupancy", **QUICK)
    for kernel in ("read", "copy"):
        points = [m for m in told.measurements if m.axes["kernel"] == kernel]
        groups = [m.axes["groups"] for m in points]
        assert groups == sorted(set(groups), key=int)
        assert groups[0] == 1
        assert len(groups) > 3
        for m in points:
            assert (m.status, m.verified) == ("ok", True), m
            assert m.shape and m.shape.groups == m.axes["groups"]
            assert m.axes["threads"] == m.shape.groups * m.shape.group_size
            assert m.bandwidth_bytes_per_second and m.footprint_bytes
    assert [f.name for f in told.findings] == ["enough_groups_read", "enough_groups_copy"]


def test_the_fewest_groups_that_fill_a_device_are_found(simulated: SimulatedDevice) -> None:
    """Each brings an eighth of the bandwidth, until eight of them have all of it."""
    simulated.pace = lambda work: 100e6 * min(1.0, work.groups / 8)
    _, told = run_on(simulated, "occupancy", **{**QUICK, "footprint_bytes": 2 * MIB})
    assert {f.name: f.value for f in told.findings} == {"enough_groups_read": 8, "enough_groups_copy": 8}
    for m in told.measurements:
        assert m.bandwidth_bytes_per_second
        expected = 100e6 * min(1.0, float(m.axes["groups"]) / 8)
        assert m.bandwidth_bytes_per_second.median == pytest.approx(expected)


def test_one_kernel_may_be_asked_for(measure: Measure) -> None:
    _, told = measure("occupancy", kernel="triad", dtype="float", **QUICK, **PINNED)
    assert {m.axes["kernel"] for m in told.measurements} == {"triad"}
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.mark.parametrize(
    ("kernel", "old", "new"),
    [
        ("read", "sum[u % READ_SUMS] += x[u];", "if (i != 4096) sum[u % READ_SUMS] += x[u];"),
        ("copy", "STORE(b + AT(u), x[u])", "if (AT(u) != 4321) STORE(b + AT(u), x[u])"),
    ],
)
def test_a_fault_is_found_with_any_number_of_groups(
    measure: Measure, kernel: str, old: str, new: str
) -> None:
    """Also with few groups, where the sums of a read are checked all together."""
    _, told = measure("occupancy", faults=(("stream.cl", old, new),), kernel=kernel, **QUICK, **PINNED)
    assert {m.status for m in told.measurements} == {"unverified"}
    assert all(m.mismatches and m.first_mismatches for m in told.measurements)
    assert told.findings == []


def test_a_group_that_stops_early_is_found_where_it_is_alone(measure: Measure) -> None:
    one_round_less = ("walk.cl", "SMALLER(rounds * CHUNK", "SMALLER((rounds - (GROUP_COUNT == 1)) * CHUNK")
    _, told = measure("occupancy", faults=(one_round_less,), kernel="read", **QUICK, **PINNED)
    status = {m.axes["groups"]: m.status for m in told.measurements}
    assert status.pop(1) == "unverified"
    assert set(status.values()) == {"ok"}


def test_the_numbers_of_groups() -> None:
    assert group_counts(2, 16) == [1, 2, 4, 8, 16]
    assert group_counts(132, 528) == [1, 2, 4, 8, 16, 33, 66, 132, 264, 528]
    assert group_counts(132, 100_000)[-2:] == [132 * 32, 100_000]
    assert group_counts(1, 1) == [1]


def point(groups: int, rate: float, low: float | None = None, high: float | None = None) -> Measurement:
    low, high = low or rate, high or rate
    return Measurement(
        "occupancy",
        {},
        "ok",
        axes={"kernel": "read", "groups": groups},
        shape=Shape(16, 4, 256, "grid", False, groups),
        bandwidth_bytes_per_second=Summary(rate, low, high, low, high, low, high),
    )


def test_enough_is_the_fewest_groups_near_the_peak() -> None:
    measured = [point(groups, rate) for groups, rate in ((1, 10.0), (2, 95.0), (4, 94.0), (8, 100.0))]
    [found] = findings("occupancy", "read", measured, 2048)
    assert found.value == 2
    assert "95 % or more of the highest" in found.text
    assert "2 x 256 threads" in found.text
    assert "32 KiB" in found.text
    [found] = findings("occupancy", "read", measured, 256)  # the second group waits for the first
    assert "all that run at once have at most 16 KiB" in found.text


GB = 1e9


def test_noisy_points_are_too_few_groups_only_if_surely_below() -> None:
    """One group surely; the highest point's own lower end would let it pass. Two by their median only."""
    measured = [
        point(1, 20 * GB, 14 * GB, 22 * GB),
        point(2, 24 * GB, 20 * GB, 38 * GB),
        point(4, 34 * GB, 17 * GB, 42 * GB),
        point(8, 33 * GB, 26 * GB, 40 * GB),
    ]
    [found] = findings("occupancy", "copy", measured, 2048)
    assert found.value == 2
    assert found.text.startswith(
        "copy: 2 x 256 threads are the fewest with no measurable loss against 95 % of the highest: "
        "20.00 GB/s to 38.00 GB/s against 17.00 GB/s to 42.00 GB/s; "
    )


def test_a_little_noise_leaves_the_claim() -> None:
    measured = [point(1, 50.0, 49.9, 50.1), point(2, 98.0, 97.9, 98.1), point(4, 100.0, 99.9, 100.1)]
    [found] = findings("occupancy", "read", measured, 2048)
    assert found.value == 2
    assert "is 95 % or more of the highest" in found.text
