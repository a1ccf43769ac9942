"""Which flags a figure gets, and how much memory it needs."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest

from gpubench.devices.profile import Kind
from gpubench.flags import Flag
from gpubench.measure.validity import Evidence, flags, required_footprint_bytes
from gpubench.results.machine import TelemetrySample, Usage

MIB = 2**20
GIB = 2**30

STEADY = [0.001 + 1e-6 * random.Random(1).random()] * 40


def looks(*clocks_mhz: int | None, limits: tuple[str, ...] = ()) -> list[TelemetrySample]:
    return [
        TelemetrySample(seconds=float(index), memory_clock_hz=mhz and mhz * 1_000_000, limits=list(limits))
        for index, mhz in enumerate(clocks_mhz)
    ]


GOOD = Evidence(
    kind="gpu",
    samples_seconds=STEADY,
    target_ratio=0.005,
    verified=True,
    footprint_bytes=4 * GIB,
    last_level_cache_bytes=96 * MIB,
    sample_bytes=1_600_000_000,
    peak_bytes_per_second=1792e9,
    nominal_memory_clock_hz=14_001_000_000,
    telemetry=looks(13801, 13801, 13801),
    other_processes=0,
    others_busy_ratio=0.02,
)


def modes() -> list[float]:
    rng = random.Random(2)
    return [rng.gauss(0.00103 if rng.random() < 0.45 else 0.001, 1e-6) for _ in range(40)]


def spread(deviation: float) -> list[float]:
    rng = random.Random(3)
    return [rng.gauss(0.001, 0.001 * deviation) for _ in range(40)]


def test_a_good_figure_has_no_flags() -> None:
    assert flags(GOOD) == []


def test_what_is_not_known_is_not_held_against_a_figure() -> None:
    assert flags(Evidence(kind="cpu", samples_seconds=STEADY, target_ratio=0.005, verified=True)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"footprint_bytes": 3 * GIB, "last_level_cache_bytes": 128 * MIB}, ["cached_footprint"]),
        ({"footprint_bytes": 4 * GIB - 3 * MIB, "last_level_cache_bytes": 128 * MIB}, []),
        ({"kind": "cpu", "footprint_bytes": 256 * MIB}, ["cached_footprint"]),
        ({"kind": "cpu", "footprint_bytes": 960 * MIB}, []),
        ({"last_level_cache_bytes": None}, ["cache_unknown"]),
        ({"last_level_cache_bytes": 0}, ["cache_unknown"]),
        ({"last_level_cache_bytes": None, "footprint_bytes": GIB}, ["cached_footprint", "cache_unknown"]),
        ({"last_level_cache_bytes": None, "footprint_bytes": None}, []),
        ({"sample_bytes": 1_900_000_000}, ["over_theory"]),
        ({"sample_bytes": 1_900_000_000, "peak_bytes_per_second": None}, []),
        ({"sample_bytes": 1_900_000_000, "peak_bytes_per_second": 0.0}, []),
        ({"samples_seconds": []}, []),
        ({"samples_seconds": [0.0] * 40}, ["over_theory", "unstable"]),
        ({"samples_seconds": [0.001] * 4}, ["unstable"]),
        ({"samples_seconds": [0.001, 0.001002, 0.001001, 0.000999, 0.001003]}, []),
        ({"samples_seconds": [0.001, 0.001002, 0.001001, 0.000999, 0.00102]}, ["unstable"]),
        ({"samples_seconds": spread(0.003)}, []),
        ({"samples_seconds": spread(0.1)}, ["unstable"]),
        ({"samples_seconds": spread(0.1), "target_ratio": 0.5}, ["unstable"]),
        ({"samples_seconds": modes()}, ["unstable"]),
        ({"samples_seconds": [0.001] * 20 + [0.0011] * 20}, ["unstable", "drifting"]),
        ({"telemetry": looks(13801, 13200, 13200)}, ["clock_limited"]),
        ({"telemetry": looks(13801, 13801, 405)}, []),
        ({"telemetry": looks(None, None)}, []),
        ({"telemetry": looks(0, 0)}, []),
        ({"telemetry": looks(405), "nominal_memory_clock_hz": None}, []),
        ({"telemetry": looks(14001, limits=("power",))}, ["power_limited"]),
        ({"telemetry": looks(14001, limits=("hardware_slowdown",))}, ["power_limited"]),
        ({"telemetry": looks(14001, limits=("thermal", "power"))}, ["power_limited", "thermal_limited"]),
        ({"other_processes": 1}, ["contended"]),
        ({"other_processes": 1, "kind": "cpu"}, []),
        ({"others_busy_ratio": 0.11}, ["contended"]),
        ({"others_busy_ratio": 0.1}, []),
        ({"busy_before": True}, ["contended"]),
        ({"busy_before": True, "usage_before": Usage(kernels_busy_ratio=0.2)}, []),
        ({"busy_before": True, "usage_before": Usage(kernels_busy_ratio=0.6)}, ["contended"]),
        ({"busy_before": True, "usage_before": Usage(None, 0.2, 0, 0.06)}, ["contended"]),
        ({"busy_before": True, "usage_before": Usage(None, 0.6), "kind": "accelerator"}, ["contended"]),
        ({"busy_before": True, "usage_before": Usage(None, 0.2), "samples_seconds": spread(0.005)},
         ["contended"]),
        ({"other_processes": 2, "usage_before": Usage(None, 0.0, 2)}, []),
        ({"other_processes": 2, "usage_before": Usage(None, 0.0, 1)}, ["contended"]),  # a newcomer
        ({"other_processes": 1, "usage_before": Usage(None, None, 1)}, ["contended"]),
        ({"other_processes": 1, "usage_before": Usage(None, 0.0, 1), "samples_seconds": spread(0.005)},
         ["contended"]),
        ({"others_device_busy_ratio": 0.11}, ["contended"]),
        ({"others_device_busy_ratio": 0.1}, []),
        ({"samples_seconds": spread(0.005)}, []),
        ({"verified": False}, ["unverified"]),
    ],
)  # fmt: skip
def test_flags(change: dict[str, Any], expected: list[Flag]) -> None:
    assert flags(replace(GOOD, **change)) == expected


def test_every_flag_can_be_set_and_order_is_that_of_the_document() -> None:
    worst = replace(
        GOOD,
        samples_seconds=[0.001] * 20 + [0.0005] * 20,
        footprint_bytes=1,
        last_level_cache_bytes=None,
        telemetry=looks(405, limits=("power", "thermal")),
        other_processes=3,
        throttled_seconds=1.0,
        verified=False,
    )
    assert flags(worst) == list(get_args(Flag))


@pytest.mark.parametrize(
    ("kind", "cache", "free", "expected"),
    [
        ("cpu", 260 * MIB, None, 2600 * MIB),
        ("cpu", 260 * MIB, 64 * GIB, 2600 * MIB),
        ("cpu", 260 * MIB, 4 * GIB, GIB),
        ("cpu", 8 * MIB, 64 * GIB, 80 * MIB),
        ("cpu", None, 64 * GIB, GIB),
        ("cpu", None, 2 * GIB, GIB // 2),
        ("gpu", 6 * MIB, 24 * GIB, 4 * GIB),
        ("gpu", 6 * MIB, 8 * GIB, 2 * GIB),
        ("gpu", 128 * MIB, 24 * GIB, 4 * GIB),
        ("gpu", 256 * MIB, 192 * GIB, 8 * GIB),
        ("gpu", None, 24 * GIB, 4 * GIB),
        ("accelerator", 0, None, 4 * GIB),
        ("gpu", None, 0, 0),
    ],
)
def test_required_footprint(kind: Kind, cache: int | None, free: int | None, expected: int) -> None:
    assert required_footprint_bytes(kind, cache, free) == expected


@pytest.mark.parametrize(
    ("peak", "free_gib", "expected_gib"),
    [
        (8000e9, 180, 15),  # a B200, whose 4 GiB would be 0.5 ms
        (4800e9, 140, 9),
        (1792e9, 31, 4),
        (8000e9, 32, 8),
        (None, 180, 4),
    ],
)
def test_a_pass_lasts_two_milliseconds_if_memory_is_ample(
    peak: float | None, free_gib: int, expected_gib: int
) -> None:
    footprint = required_footprint_bytes("gpu", 50 * MIB, free_gib * GIB, peak)
    assert footprint == expected_gib * GIB
    assert peak is None or footprint == free_gib * GIB // 4 or footprint / peak >= 2e-3
    assert required_footprint_bytes("cpu", 50 * MIB, free_gib * GIB, peak) == 500 * MIB


@pytest.mark.parametrize(("cache_mib", "free_gib"), [(32, 7), (48, 11), (64, 14), (96, 30)])
def test_a_card_with_little_memory_still_exceeds_its_cache(cache_mib: int, free_gib: int) -> None:
    """The RTX 5060 Ti with 8 GB, 5070, 5080 and 5090: a quarter of free memory is less than 4 GiB."""
    footprint = required_footprint_bytes("gpu", cache_mib * MIB, free_gib * GIB)
    assert flags(replace(GOOD, last_level_cache_bytes=cache_mib * MIB, footprint_bytes=footprint)) == []


def test_the_share_of_free_memory_wins_and_is_flagged() -> None:
    footprint = required_footprint_bytes("gpu", 128 * MIB, 8 * GIB)
    assert footprint == 2 * GIB
    assert flags(replace(GOOD, last_level_cache_bytes=128 * MIB, footprint_bytes=footprint)) == [
        "cached_footprint"
    ]
