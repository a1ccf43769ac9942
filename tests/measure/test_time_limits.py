"""What a time limit limits: a point of a curve, a slice, or nothing, as its description says."""

from __future__ import annotations

from tests.measure.conftest import PINNED, Measure


def test_a_time_limit_is_for_each_point_of_a_curve(measure: Measure) -> None:
    """Seven points that only their time ends: together they have seven times as much."""
    _, told = measure("launch", stop="time", time_limit_seconds=0.05)
    assert len(told.measurements) == 7
    assert {m.stop_code for m in told.measurements} == {"duration_reached"}


def test_a_time_limit_may_end_a_slice_before_its_rounds(measure: Measure) -> None:
    _, told = measure("map", slices=4, rounds=100, time_limit_seconds=1e-6, **PINNED)
    assert {len(m.samples_seconds) for m in told.measurements} == {1}


def test_integrity_does_not_use_a_time_limit(measure: Measure) -> None:
    _, told = measure("integrity", patterns=("random",), time_limit_seconds=1e-6)
    [m] = told.measurements
    assert (m.status, len(m.samples_seconds)) == ("ok", 20)
