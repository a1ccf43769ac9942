"""Real kernels on a real device: what is measured is verified, counted and flagged."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gpubench.benchmarks.plan import MAX_BENCHMARKS
from gpubench.benchmarks.registry import STREAM
from gpubench.devices.base import Device
from gpubench.errors import DeviceLost, OutOfDeviceMemory
from gpubench.executor.messages import Event, Measured
from gpubench.measure import run_context
from gpubench.measure.diagnostics import bimodal, trend
from gpubench.measure.statistics import median, summarize
from gpubench.measure.tuning import best
from gpubench.protocol.messages import MAX_RESPONSE_BYTES
from gpubench.requests import StatedMemory
from gpubench.results.document import Measurement
from tests.measure.conftest import GPU_PINNED, MIB, PINNED, Collected, Measure, run_on
from tests.simulated import SimulatedAllocation, SimulatedClock, SimulatedDevice


def bandwidth(measurement: Measurement) -> float:
    assert measurement.bandwidth_bytes_per_second is not None
    return measurement.bandwidth_bytes_per_second.median


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_every_benchmark_is_verified_and_counted(measure: Measure, dtype: str) -> None:
    finished, told = measure("stream", dtype=dtype, **PINNED)

    assert not finished.cancelled
    assert [m.benchmark for m in told.measurements] == list(STREAM)
    for m in told.measurements:
        row = STREAM[m.benchmark]
        assert (m.status, m.verified, m.mismatches) == ("ok", True, 0), m
        assert m.footprint_bytes and m.bus_bytes and m.payload_bytes and m.passes_per_sample
        assert m.footprint_bytes >= 8 * MIB
        array_bytes = m.footprint_bytes // row.arrays * m.passes_per_sample
        sums = 16 * 8 * m.passes_per_sample if m.benchmark in ("read", "dot") else 0
        assert m.payload_bytes == row.payload_arrays * array_bytes
        assert m.bus_bytes == row.bus_arrays * array_bytes + sums
        assert bandwidth(m) == pytest.approx(m.bus_bytes / median(m.samples_seconds))
        assert "cached_footprint" in m.flags  # 8 MiB is no honest footprint, and it says so
        assert not m.default_parameters


def test_large_footprints_come_in_segments(open_as: Callable[..., Device]) -> None:
    """No allocation above the limit, and indices that go on from one segment to the next."""
    _, told = run_on(open_as(max_allocation_bytes=3 * MIB), "stream", **PINNED)
    assert {m.status for m in told.measurements} == {"ok"}
    assert all(m.footprint_bytes and m.footprint_bytes >= 8 * MIB for m in told.measurements)


def test_each_kernel_is_tuned_once_whatever_ran_before_it(measure: Measure) -> None:
    """With another kernel's shape a figure would depend on its place in the run."""
    _, told = measure("dot", "read", "cache_sweep", time_limit_seconds=0.05)
    assert [(t.access, t.benchmark) for t in told.tunings] == [
        ("read", "dot"), ("read", "read"), ("copy", "copy"),
    ]  # fmt: skip
    for tuning in told.tunings:
        assert 2 <= len(tuning.trials) <= 6
        assert tuning.chosen == best(tuning.trials)
    assert [m.shape for m in told.measurements[:2]] == [t.chosen for t in told.tunings[:2]]


def test_a_pinned_field_is_pinned_in_every_trial(measure: Measure) -> None:
    _, told = measure("copy", unroll=2, streaming_stores=False)
    assert {(t.shape.unroll, t.shape.streaming_stores) for t in told.tunings[0].trials} == {(2, False)}
    assert told.measurements[0].shape and told.measurements[0].shape.unroll == 2


def test_an_impossible_shape_fails_its_benchmark_and_no_other(measure: Measure) -> None:
    _, told = measure("copy", "read", dtype="float", vector_bytes=128)
    assert [m.status for m in told.measurements] == ["failed", "failed"]
    assert "vector_bytes 128 cannot hold float" in (told.measurements[0].reason or "")
    huge = {**PINNED, "group_size": 1024, "unroll": 32, "vector_bytes": 128}
    _, told = measure("triad", footprint_bytes=4 * MIB, **huge)
    assert told.measurements[0].status == "failed"
    assert "ask for 12 MiB or more" in (told.measurements[0].reason or "")


def test_a_footprint_above_free_memory_is_refused_at_once(measure: Measure) -> None:
    told = Collected()
    with pytest.raises(OutOfDeviceMemory, match=r"copy: a footprint of .* is too large; a run may use"):
        measure("copy", "triad", footprint_bytes=1 << 46, reporter=told)
    assert told.measurements == []


class Greedy(SimulatedDevice):
    """Refuses the fourth allocation: the first two are to prove the data, the third is the arrays."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(clock=clock)
        self.asked_bytes: list[int] = []

    def allocate(self, nbytes: int) -> SimulatedAllocation:
        self.asked_bytes.append(nbytes)
        if len(self.asked_bytes) == 4:
            raise OutOfDeviceMemory("the test has no more")
        return super().allocate(nbytes)


def test_a_benchmark_without_memory_is_skipped_and_others_run(simulated: SimulatedDevice) -> None:
    """The others have all of the memory."""
    device = Greedy(simulated.clock)
    _, told = run_on(device, "triad", "copy", "triad", footprint_bytes=2 * MIB, **GPU_PINNED)
    first, *others = told.measurements
    assert (first.benchmark, first.status, first.reason) == ("triad", "skipped", "the test has no more")
    assert [(m.benchmark, m.status) for m in others] == [("copy", "ok"), ("triad", "ok")]
    assert device.asked_bytes[4] >= 2 * MIB  # made anew, though the larger arrays of before would do
    assert device.allocations == []


def test_a_lost_device_ends_the_run_and_keeps_measurements(simulated: SimulatedDevice) -> None:
    reporter = Collected()
    begin = simulated.clock.seconds
    run_on(simulated, "copy", footprint_bytes=2 * MIB, **GPU_PINNED)
    took = simulated.clock.seconds - begin
    simulated.lost_at_seconds = simulated.clock.seconds + 1.5 * took
    with pytest.raises(DeviceLost):
        run_on(simulated, "copy", "copy", "copy", footprint_bytes=2 * MIB, reporter=reporter, **GPU_PINNED)
    assert [m.status for m in reporter.measurements] == ["ok"]


def test_cancel_ends_the_run_and_keeps_what_was_finished(measure: Measure) -> None:
    told = Collected(cancel_when=lambda c: len(c.measurements) == 2)
    finished, _ = measure("stream", reporter=told, **PINNED)
    assert finished.cancelled
    assert [m.benchmark for m in told.measurements] == ["copy", "scale"]


def test_progress_only_rises_and_names_the_benchmark(measure: Measure) -> None:
    _, told = measure("copy", "read", "write", time_limit_seconds=0.3, **PINNED)
    ratios = [p.done_ratio for p in told.heard]
    assert ratios == sorted(ratios)
    assert ratios[0] >= 0 and ratios[-1] <= 1
    assert {p.benchmark for p in told.heard} == {"copy", "read", "write"}
    assert any(p.phase == "measuring" and p.bandwidth_bytes_per_second for p in told.heard)


class AtFirst(Collected):
    """Keeps how far the benchmark was when it told its first figure."""

    done_ratio: float | None = None

    def send(self, event: Event) -> None:
        if isinstance(event, Measured) and self.done_ratio is None:
            self.done_ratio = self.heard[-1].done_ratio
        super().send(event)


@pytest.mark.parametrize("name", ["launch", "transfer", "occupancy", "cache_sweep"])
def test_progress_of_one_with_parts_rises_with_them(measure: Measure, name: str) -> None:
    told = AtFirst()
    measure(name, footprint_bytes=2 * MIB, time_limit_seconds=0.01, reporter=told)
    ratios = [p.done_ratio for p in told.heard]
    assert ratios == sorted(ratios)
    assert told.done_ratio is not None and told.done_ratio <= 0.5 < ratios[-1] <= 1


def test_a_processor_has_no_theory_unless_it_is_stated(measure: Measure) -> None:
    _, told = measure("read", **PINNED)
    assert told.document.theory is None
    assert told.measurements[0].efficiency_ratio.nominal is None

    _, told = measure("read", memory=StatedMemory("ddr5-4800", 128), **PINNED)
    theory, m = told.document.theory, told.measurements[0]
    assert theory and theory.source == "stated"
    assert theory.peak_bytes_per_second == pytest.approx(76.8e9)
    assert m.efficiency_ratio.nominal == pytest.approx(bandwidth(m) / 76.8e9)


def test_a_figure_above_theory_is_flagged(measure: Measure) -> None:
    _, told = measure("read", memory=StatedMemory("ddr4-1600", 8), **PINNED)
    assert "over_theory" in told.measurements[0].flags


def test_the_interval_holds_the_median_and_all_samples_are_kept(simulated: SimulatedDevice) -> None:
    noise = random.Random(1)
    simulated.pace = lambda work: 100e6 * noise.uniform(0.9, 1.0)
    _, told = run_on(simulated, "triad", footprint_bytes=2 * MIB, time_limit_seconds=2.0, **GPU_PINNED)
    [m] = told.measurements
    assert m.bandwidth_bytes_per_second
    b = m.bandwidth_bytes_per_second
    assert 90e6 <= b.min < b.p5 < b.low < b.median < b.high < b.p95 < b.max <= 100e6
    assert len(m.samples_seconds) * median(m.samples_seconds) == pytest.approx(2.0, rel=0.1)
    assert all(math.isfinite(s) and s > 0 for s in m.samples_seconds)
    assert m.stopped_because
    assert m.trend_ratio == trend(m.samples_seconds)
    assert m.bimodal == bimodal(m.samples_seconds)
    assert m.autocorrelation == summarize(m.samples_seconds).autocorrelation


def test_every_benchmark_of_a_run_has_the_same_default_footprint(simulated: SimulatedDevice) -> None:
    """A quarter of what was free before the run, not of what its own arrays have left."""
    _, told = run_on(simulated, "copy", "read", footprint_bytes=None, **GPU_PINNED)
    assert [m.footprint_bytes for m in told.measurements] == [4 * MIB, 4 * MIB]


def test_the_default_footprint_keeps_caches_out(device: Device, measure: Measure) -> None:
    _, told = measure("read", footprint_bytes=None, time_limit_seconds=None)
    [m] = told.measurements
    cache = device.info.last_level_cache_bytes
    free = device.free_bytes()
    assert m.footprint_bytes
    if cache is None:
        assert "cache_unknown" in m.flags
    elif m.footprint_bytes >= 10 * cache:
        assert "cached_footprint" not in m.flags
    else:  # a quarter of free memory is less: the share wins, and it is said
        assert "cached_footprint" in m.flags
        assert m.footprint_bytes <= free // 4 + MIB
    assert m.default_parameters


def test_a_document_stays_one_that_is_taken(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rule: the samples of a benchmark are bounded, and the figure says why it ended."""
    monkeypatch.setattr(run_context, "MAX_SAMPLES", 40)
    _, told = measure("mix", stop="time", time_limit_seconds=5)
    assert {len(m.samples_seconds) for m in told.measurements} == {40 // len(told.measurements)}
    assert {(m.stop_code, m.stop_unmet_code) for m in told.measurements} == {("sample_limit", None)}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("latency", {"stop": "time", "time_limit_seconds": 5}),
        ("sustained", {"window_seconds": 0.2, "duration_seconds": 1.0, **PINNED}),
        ("integrity", {"passes": 7, "patterns": ["address", "random"]}),
    ],
)
def test_so_does_that_of_one_that_samples_again_and_again(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, name: str, parameters: dict[str, Any]
) -> None:
    monkeypatch.setattr(run_context, "MAX_SAMPLES", 200)
    _, told = measure(name, **{"footprint_bytes": MIB, **parameters})
    assert all(m.samples_seconds for m in told.measurements)
    assert sum(len(m.samples_seconds) for m in told.measurements) <= 200


def test_the_largest_document_is_one_that_is_taken() -> None:
    largest = Measurement("copy", {}, "ok", samples_seconds=[0.0001234567890123456] * run_context.MAX_SAMPLES)
    assert 1.5 * MAX_BENCHMARKS * len(msgspec.json.encode(largest)) < MAX_RESPONSE_BYTES
