"""What a series of figures did: which of them count, and what is said of a shift."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from gpubench.comparison.change_points import MIN_VALUES
from gpubench.comparison.history import trend_of
from gpubench.results.history import HistoryPoint, HistorySeries


def series(count: int = 100, at: int = 60, ratio: float = 0.9, quantity: str = "bandwidth") -> HistorySeries:
    """One figure a day from 2026-01-01 on; from index ``at`` on another driver, and lower by the ratio."""
    generator = random.Random(7)
    points = [
        HistoryPoint(
            run_id=f"run-{n}",
            at=(datetime(2026, 1, 1) + timedelta(days=n)).isoformat() + ".000Z",
            median=1500 * generator.gauss(1, 0.01) * (ratio if n >= at else 1),
            low=1490.0,
            high=1510.0,
            program_version="0.1.0",
            driver="595.10" if n < at else "600.1",
        )
        for n in range(count)
    ]
    return HistorySeries(
        device="cuda:0",
        hardware_id="0000:01:00.0",
        name="a board",
        benchmark="triad",
        parameters={},
        quantity=quantity,
        unit="byte/s",
        runtime="cuda",
        kernel_source_hash="a1",
        points=points,
    )


def test_a_shift_names_its_run_and_what_changed_with_it() -> None:
    (shift,) = trend_of(series()).shifts
    assert (shift.kind, shift.run_id, shift.after_at) == ("shift", "run-60", "2026-03-02T00:00:00.000Z")
    assert shift.earliest_at <= shift.after_at <= shift.latest_at
    assert shift.low < 0.9 < shift.high
    assert shift.noted == ("driver: 595.10, then 600.1",)
    assert shift.confidence == 0.9999
    assert shift.slower


@pytest.mark.parametrize(
    ("quantity", "ratio", "slower"),
    [("bandwidth", 0.9, True), ("bandwidth", 1.1, False), ("latency", 0.9, False), ("latency", 1.1, True)],
)
def test_a_latency_that_rises_is_slower(quantity: str, ratio: float, slower: bool) -> None:
    (shift,) = trend_of(series(ratio=ratio, quantity=quantity)).shifts
    assert shift.slower is slower


@pytest.mark.parametrize(
    ("flag", "counts"),
    [
        ("contended", False),
        ("cached_footprint", False),
        ("over_theory", False),
        ("unstable", True),
        ("a flag of a newer program", True),
    ],
)
def test_disturbed_figures_do_not_count(flag: str, counts: bool) -> None:
    from msgspec.structs import replace

    quiet = series(ratio=1)
    points = [replace(p, median=700.0, flags=[flag]) if n >= 60 else p for n, p in enumerate(quiet.points)]
    trend = trend_of(replace(quiet, points=points))
    assert (trend.figures, trend.flagged) == ((100, 0) if counts else (60, 40))
    assert bool(trend.shifts) == counts


def test_a_short_series_says_so() -> None:
    assert not trend_of(series(MIN_VALUES - 1)).enough
    assert trend_of(series(MIN_VALUES)).enough
    empty = trend_of(series(0))
    assert (empty.figures, empty.median, empty.last, empty.shifts) == (0, None, None, ())
