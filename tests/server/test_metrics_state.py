"""Which figures are valid for a device, and what is counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gpubench_server.figures import FigureLabels, valid_figure
from gpubench_server.metrics_state import MetricsState

from gpubench.flags import Flag, flags_with
from gpubench.results.document import Efficiency, RunDocument
from gpubench.results.machine import Theory
from tests.documents import document, measurement

TRIAD = FigureLabels("cuda:0", "triad", "double")
DOUBLE: dict[str, Any] = {"parameters": {"dtype": "double"}}


def ended(*measurements: Any, at: str = "2026-01-02T03:04:05.000Z", **fields: Any) -> RunDocument:
    return document(*measurements, finished_at=at, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed"},
        {"status": "unverified", "verified": False},
        {"verified": False},
        {"default_parameters": False},
        {"bandwidth_bytes_per_second": None},
    ],
)
def test_measurements_that_are_not_valid_figures(fields: dict[str, Any]) -> None:
    assert valid_figure(measurement(1500, **fields)) is None


@pytest.mark.parametrize("flag", ["over_theory", "cached_footprint", "unverified"])
def test_flags_that_disqualify(flag: Flag) -> None:
    assert valid_figure(measurement(1500, "triad", flag)) is None


@pytest.mark.parametrize(
    ("flag", "stable"),
    [*((flag, False) for flag in flags_with("unsteady")), ("clock_limited", True), ("cache_unknown", True)],
)
def test_an_unsteady_figure_is_valid_but_not_stable(flag: Flag, stable: bool) -> None:
    figure = valid_figure(measurement(1500, "triad", flag))
    assert figure is not None
    assert figure.stable == stable


def test_a_figure_has_all_values_of_its_gauges() -> None:
    samples = [0.001, 0.002, 0.001, 0.002]
    figure = valid_figure(
        measurement(
            1500,
            bus_bytes=10**6,
            samples_seconds=samples,
            efficiency_ratio=Efficiency(nominal=0.84),
        )
    )
    assert figure is not None
    assert figure.bandwidth_bytes_per_second == 1500e9
    assert figure.stddev_bytes_per_second == pytest.approx(288_675_134.6)
    assert figure.efficiency_ratio == 0.84


@pytest.mark.parametrize(("cache_bytes", "moved"), [(4096, 2000), (8192, 0), (None, 0)])
def test_cached_reads_of_a_sweep_do_not_count_as_bus_bytes(cache_bytes: int | None, moved: int) -> None:
    metrics = MetricsState()
    samples: dict[str, Any] = {"bus_bytes": 1000, "samples_seconds": [0.1, 0.1], "footprint_bytes": 8192}
    run = ended(measurement(1500, "cache_sweep", **samples), measurement(1500, **samples))
    assert run.device is not None
    device = msgspec.structs.replace(run.device, last_level_cache_bytes=cache_bytes)
    metrics.run_ended(msgspec.structs.replace(run, device=device), ["cache_sweep", "triad"])
    assert metrics.snapshot().moved_bytes == {device.id: 2000 + moved}


def test_after_a_failed_run_the_last_valid_figure_stays() -> None:
    metrics = MetricsState()
    metrics.run_ended(ended(measurement(1500, **DOUBLE)), ["triad"])
    good = metrics.snapshot()
    later = "2026-01-02T04:04:05.000Z"
    metrics.run_ended(ended(measurement(9999, "triad", "over_theory", **DOUBLE), at=later), ["triad"])
    after = metrics.snapshot()
    assert after.figures == good.figures
    assert after.success_at == good.success_at
    assert after.run_at[TRIAD] == good.run_at[TRIAD] + 3600


def test_every_benchmark_of_a_run_is_counted_with_its_outcome() -> None:
    metrics = MetricsState()
    run = ended(measurement(1500, "copy"), outcome="device_lost")
    metrics.run_ended(run, ["copy", "triad"])
    assert metrics.snapshot().runs == {("copy", "ok"): 1, ("triad", "device_lost"): 1}


def test_stated_memory_is_not_the_theory_of_the_device() -> None:
    from gpubench.requests import StatedMemory

    metrics = MetricsState()
    metrics.run_ended(ended(stated=StatedMemory("gddr7-32", 512)), [])
    assert metrics.snapshot().theories == {}


def test_a_run_with_stated_memory_changes_no_gauge() -> None:
    stated = Theory("stated", 1e12, 16e9, 512)
    figure = measurement(500, efficiency_ratio=Efficiency(nominal=0.5), **DOUBLE)
    metrics = MetricsState()
    metrics.refill([ended(figure, theory=stated)])
    assert metrics.snapshot().figures == {}
    assert list(metrics.snapshot().run_at) == [TRIAD]


def test_a_damaged_document_is_skipped() -> None:
    metrics = MetricsState()
    spoiled = msgspec.structs.replace(ended(measurement(500, **DOUBLE)), finished_at="2026-99-99")
    metrics.refill([spoiled, ended(measurement(400, **DOUBLE))])
    assert metrics.snapshot().figures[TRIAD].bandwidth_bytes_per_second == 400e9


def test_a_snapshot_does_not_change() -> None:
    metrics = MetricsState()
    before = metrics.snapshot()
    metrics.request("ping", "ok")
    metrics.run_started(0.3)
    metrics.connection_rejected("too_many")
    metrics.run_ended(ended(measurement(1500)), ["triad"])
    assert (before.requests, before.runs, before.figures, sum(before.queue_wait.counts)) == ({}, {}, {}, 0)


def test_histograms_are_cumulative() -> None:
    metrics = MetricsState()
    for seconds in (0.05, 0.1, 3.0, 10_000.0):
        metrics.run_started(seconds)
    wait = dict(metrics.snapshot().queue_wait.cumulative)
    assert (wait["0.1"], wait["2.5"], wait["5.0"], wait["600.0"], wait["+Inf"]) == (2, 2, 3, 3, 4)


def point(position: int, **fields: Any) -> Any:
    return measurement(9000, "map", axes={"slice": position}, **{**DOUBLE, **fields})


def test_the_worst_point_is_the_outcome_of_a_curve() -> None:
    metrics = MetricsState()
    wrong = point(1, status="unverified", verified=False)
    metrics.run_ended(ended(point(0), wrong, point(2)), ["map"])
    metrics.run_ended(ended(point(0), point(1, status="skipped"), point(2)), ["map"])
    assert metrics.snapshot().runs == {("map", "unverified"): 1, ("map", "ok"): 1}


def test_a_skipped_benchmark_is_counted_and_makes_no_series() -> None:
    metrics = MetricsState()
    skipped = measurement(1, "map", status="skipped", bandwidth_bytes_per_second=None)
    metrics.run_ended(ended(skipped), ["map"])
    assert metrics.snapshot().runs == {("map", "skipped"): 1}
    assert metrics.snapshot().run_at == {}


def test_points_of_a_curve_change_no_gauge() -> None:
    metrics = MetricsState()
    latency = measurement(1, "latency", quantity="latency", **DOUBLE)
    metrics.run_ended(ended(point(0), latency), ["map", "latency"])
    assert (metrics.snapshot().figures, metrics.snapshot().run_at) == ({}, {})


def test_a_benchmark_without_any_figure_has_a_time_of_its_run() -> None:
    metrics = MetricsState()
    failed = measurement(1, "triad", status="failed", bandwidth_bytes_per_second=None, **DOUBLE)
    metrics.run_ended(ended(failed), ["triad"])
    assert list(metrics.snapshot().run_at) == [TRIAD]
    assert metrics.snapshot().success_at == {}
