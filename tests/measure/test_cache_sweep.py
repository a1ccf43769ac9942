"""Bandwidth over footprint: every pass of every group is counted and checked, in caches and beyond."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpubench.benchmarks.cache_sweep.benchmark import KERNELS, findings
from gpubench.devices.base import Device
from gpubench.measure.levels import CurvePoint, ladder
from gpubench.results.document import Measurement
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import MIB, PINNED, Collected, Measure, run_on

KIB = 1 << 10


@pytest.fixture(autouse=True)
def short_launches(change_profile: Callable[..., None]) -> None:
    change_profile(sweep_launch_seconds=0.2e-3)


@pytest.fixture
def small_cache(open_as: Callable[..., Device]) -> Device:
    """The last-level cache is so small that a few MiB lie in it and beyond."""
    return open_as(last_level_cache_bytes=256 * KIB)


LARGEST_SWEPT = 512 * KIB
"""Of such a device: a larger footprint is measured as the stream benchmarks do."""


def footprints(measurements: list[Measurement], kernel: str) -> list[int]:
    return [int(m.axes["footprint_bytes"]) for m in measurements if m.axes["kernel"] == kernel]


def test_both_curves_from_16_kib_to_what_was_asked(measure: Measure, device: Device) -> None:
    _, told = measure("cache_sweep", footprint_bytes=4 * MIB, time_limit_seconds=0.005, **PINNED)
    for kernel in ("read", "copy"):
        sizes = footprints(told.measurements, kernel)
        assert sizes == sorted(set(sizes))
        assert sizes[0] <= 64 * KIB
        assert sizes[-1] == 4 * MIB
        assert len(sizes) >= 13
    for m in told.measurements:
        assert (m.status, m.verified, m.quantity) == ("ok", True, "bandwidth"), m
        assert m.footprint_bytes == m.axes["footprint_bytes"]
        assert m.bus_bytes and m.payload_bytes and m.bandwidth_bytes_per_second and m.shape
        sums = m.bus_bytes - m.payload_bytes * (2 if m.axes["kernel"] == "copy" else 1)
        assert 0 <= sums < 0.001 * m.payload_bytes
        assert not {"cached_footprint", "cache_unknown"} & set(m.flags)
        assert m.efficiency_ratio.nominal is None
    assert any(each.unit == "byte/s" for each in told.findings)
    for kernel in KERNELS:
        curve = [
            CurvePoint(m.footprint_bytes, 1 / bandwidth.p95, 1 / bandwidth.median)
            for m in told.measurements
            if m.axes["kernel"] == kernel
            and m.footprint_bytes
            and (bandwidth := m.bandwidth_bytes_per_second)
        ]
        found = list(findings(device.info, "cache_sweep", kernel, curve))
        assert found == [each for each in told.findings if each.name.startswith(f"{kernel}_")]
    ratios = [p.done_ratio for p in told.heard]
    assert ratios == sorted(ratios) and ratios[-1] <= 1


@pytest.mark.parametrize("order", ["tile", "halves"])
def test_passes_beyond_the_caches_are_the_stream_benchmarks(small_cache: Device, order: str) -> None:
    pinned = {**PINNED, "order": order}
    _, told = run_on(small_cache, "read", "copy", "cache_sweep", time_limit_seconds=0.005, **pinned)
    read, copy, *curves = told.measurements
    assert {m.status for m in curves} == {"ok"}
    assert {m.shape.order for m in curves if m.shape} == {order}
    for one in (read, copy):
        large = [m for m in curves if m.axes["kernel"] == one.benchmark and m.footprint_bytes > LARGEST_SWEPT]  # type: ignore[operator]
        assert len(large) >= 4
        assert {m.shape for m in large} == {one.shape}
        last = large[-1]
        assert last.footprint_bytes == one.footprint_bytes
        assert last.bus_bytes and last.passes_per_sample and one.bus_bytes and one.passes_per_sample
        assert last.bus_bytes // last.passes_per_sample == one.bus_bytes // one.passes_per_sample


def test_one_kernel_alone(measure: Measure) -> None:
    _, told = measure("cache_sweep", footprint_bytes=MIB, time_limit_seconds=0.002, kernel="copy", **PINNED)
    assert {m.axes["kernel"] for m in told.measurements} == {"copy"}


FAULTS = {
    "a pass is left out": (
        "both",
        "for (u64 repeat = 0; repeat < repeats; ++repeat, t",
        "for (u64 repeat = 1; repeat < repeats; ++repeat, t",
    ),
    "groups leave their tile": ("both", "u64 tile = GROUP_ID % tiles;", "u64 tile = (GROUP_ID + 1) % tiles;"),
    "a chunk is left out": (
        "both",
        "EACH_CHUNK_OF(tile * TILE_VECTORS, TILE_VECTORS)",
        "EACH_CHUNK_OF(tile * TILE_VECTORS, TILE_VECTORS - CHUNK_VECTORS)",
    ),
    "a vector is not stored": ("copy", "STORE(b + AT(u)", "if (AT(u) != 37) STORE(b + AT(u)"),
    "a vector is stored next door": ("copy", "STORE(b + AT(u)", "STORE(b + (AT(u) ^ 1)"),
    "only the first pass stores": ("copy", "STORE(b + AT(u)", "if (!repeat) STORE(b + AT(u)"),
    "the last pass does not store": ("copy", "STORE(b + AT(u)", "if (repeat + 1 < repeats) STORE(b + AT(u)"),
    "other words are stored": ("copy", "STORE(b + AT(u), x[u]", "STORE(b + AT(u), x[u] + x[u]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(measure: Measure, fault: str) -> None:
    kernel, old, new = FAULTS[fault]
    kernels = ("read", "copy") if kernel == "both" else (kernel,)
    for each in kernels:
        _, told = measure(
            "cache_sweep",
            faults=(("sweep.cl", old, new),),
            kernel=each,
            footprint_bytes=MIB,
            time_limit_seconds=0.001,
            **PINNED,
        )
        *swept, streamed = told.measurements
        assert streamed.status == "ok"
        assert len(swept) > 8
        for m in swept:
            assert (m.status, m.verified, m.bandwidth_bytes_per_second) == ("unverified", False, None), m.axes
            assert m.mismatches and m.first_mismatches


def test_a_fault_in_the_stream_kernels_is_found(small_cache: Device) -> None:
    fault = ("stream.cl", "sum[u % READ_SUMS] += x[u];", "if (AT(u) != 4321) sum[u % READ_SUMS] += x[u];")
    quick = {"kernel": "read", "time_limit_seconds": 0.001, **PINNED}
    _, told = run_on(small_cache, "cache_sweep", faults=(fault,), **quick)
    statuses = {m.status: m.footprint_bytes for m in told.measurements}
    assert set(statuses) == {"ok", "unverified"}
    assert all((m.status == "ok") == (m.footprint_bytes <= LARGEST_SWEPT) for m in told.measurements)  # type: ignore[operator]


def test_cancel_is_heard_within_the_curves(measure: Measure) -> None:
    told = Collected(cancel_when=lambda c: any(p.phase == "measuring" for p in c.heard))
    finished, _ = measure("cache_sweep", reporter=told, footprint_bytes=MIB, **PINNED)
    assert finished.cancelled
    assert told.measurements == []


def test_a_cache_hardly_faster_than_stacked_memory_is_found() -> None:
    h200 = DeviceInfo("a", "a", "cuda", "gpu", "NVIDIA H200", "a", last_level_cache_bytes=60 * MIB)
    curve = [
        CurvePoint(size, cost, cost)
        for size in ladder(16 * KIB, 4096 * MIB)
        for cost in [1 / 6.0e12 if size <= 48 * MIB else 1 / 4.2e12]
    ]
    found = {each.name: each.value for each in findings(h200, "cache_sweep", "read", curve)}
    assert found == pytest.approx({"read_l2": 6.0e12, "read_l2_end": 48 * MIB, "read_memory": 4.2e12})
    flat = [CurvePoint(each.footprint_bytes, 1 / 4.2e12, 1 / 4.2e12) for each in curve]
    *_, unseen = findings(h200, "cache_sweep", "read", flat)
    assert unseen.text == "read: no step of 1.25x or more marks the end of L2, given as 60 MiB"
