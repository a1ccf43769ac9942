"""Options that a report advises exist, and do what they are advised for; else none is."""

from __future__ import annotations

from typing import Any

import pytest
from gpubench_client.cli.parser import parse
from gpubench_client.cli.request import run_request

from gpubench.benchmarks.plan import plan
from gpubench.flags import FLAGS
from gpubench.measure.validity import Evidence, flags
from gpubench.results.document import Measurement
from gpubench.results.machine import DeviceInfo
from tests.documents import GIB, document, measurement
from tests.report.noise import epyc, noisy, unstable, usual
from tests.report.test_flag_notes import notes, only


def advised(text: str) -> dict[str, Any]:
    """The parameters that the advice at the end of a note sets, through the command line and the plan."""
    if "Try --" not in text:
        return {}
    options = text.rpartition("Try ")[2].removesuffix(".").split()
    _, args = parse(["run", "triad", *options])
    [request] = run_request(args).benchmarks
    plan([request])
    return request.parameters


@pytest.mark.parametrize("cache_bytes", [33_554_432, 260 << 20, 1_000_001, (37 << 20) + 4096])
def test_the_advised_footprint_is_large_enough(cache_bytes: int) -> None:
    m = measurement(30.0, "triad", "cached_footprint", footprint_bytes=1 << 20, parameters=usual())
    given = advised(only(document(m, device=epyc(cache_bytes=cache_bytes))))
    seen = Evidence(
        kind="cpu",
        samples_seconds=[0.01] * 20,
        target_ratio=0.005,
        verified=True,
        footprint_bytes=given["footprint_bytes"],
        last_level_cache_bytes=cache_bytes,
    )
    assert flags(seen) == []


@pytest.mark.parametrize(
    ("benchmark", "device"),
    [
        ("triad", epyc(memory_bytes=2 * GIB)),
        ("triad", epyc(memory_bytes=4 * GIB, memory_used_bytes=2 * GIB)),
        ("triad", epyc(memory_bytes=None)),
        ("occupancy", epyc()),
        ("loaded_latency", epyc()),
        ("of a later version", epyc()),
    ],
    ids=["too little", "too little free", "memory unknown", "occupancy", "loaded latency", "unknown"],
)
def test_no_footprint_is_advised_that_might_not_do(benchmark: str, device: DeviceInfo) -> None:
    """For want of memory, or for benchmarks that may use less than they are asked for."""
    m = measurement(30.0, benchmark, "cached_footprint", footprint_bytes=256 << 20)
    text = only(document(m, device=device))
    assert "--footprint" not in text
    assert text.endswith(FLAGS["cached_footprint"].remedy)


@pytest.mark.parametrize(("spread", "count"), [(0.03, 30), (0.05, 20), (0.1, 60), (0.08, 200)])
def test_the_advised_limit_makes_a_figure_stable(spread: float, count: int) -> None:
    """With samples of the same noise for as long as it says, in nine of ten series."""
    stable = []
    for seed in range(40):
        text = only(document(unstable(noisy(spread, count, seed)), device=epyc()))
        if limit := advised(text).get("time_limit_seconds"):
            more = noisy(spread, round(limit / 0.01), 1000 + seed)
            found = flags(Evidence(kind="cpu", samples_seconds=more, target_ratio=0.005, verified=True))
            stable.append("unstable" not in found)
    assert len(stable) > 25 and sum(stable) >= 0.9 * len(stable)


def test_a_series_that_a_count_ends_is_advised_a_count() -> None:
    m = unstable(noisy(0.05, 100), parameters=usual(stop="count"))
    given = advised(only(document(m, device=epyc())))
    assert given["stop"] == "count" and 500 < given["samples"] <= 10_000
    limited = unstable(noisy(0.1, 100), parameters=usual(stop="count", time_limit_seconds=1.0))
    assert "Try" not in only(document(limited, device=epyc()))


def test_a_loose_target_is_tightened_as_well() -> None:
    m = unstable(noisy(0.1, 30), parameters=usual(target_ratio=0.1))
    given = advised(only(document(m, device=epyc())))
    assert given["target_ratio"] == 0.005 and given["time_limit_seconds"] >= 5


@pytest.mark.parametrize(
    "m",
    [
        unstable(noisy(0.08, 200), parameters=usual(stop="stdev")),
        unstable(noisy(0.08, 200), "sustained"),
        unstable(noisy(0.08, 200), "map", axes={"slice": 1}),
        unstable(noisy(0.08, 200), "of a later version"),
        unstable(noisy(1.2, 200)),
        unstable(noisy(0.08, 200), flags=["unstable", "drifting"]),
        unstable(noisy(0.08, 200), bimodal=True),
        unstable(noisy(0.08, 200), parameters={**usual(), "target_ratio": "hostile", "stop": 7}),
    ],
    ids=["stdev", "windows", "rounds", "unknown", "too noisy", "drifting", "two groups", "hostile"],
)
def test_no_limit_is_advised_that_would_not_do(m: Measurement) -> None:
    text = notes(document(m, device=epyc()))["unstable"]
    assert text.startswith("The interval is ±")
    assert text.endswith(FLAGS["unstable"].remedy)


def curve(points: int, samples: list[float]) -> str:
    measured = [unstable(samples, "strided", axes={"stride_elements": k}) for k in range(points)]
    return only(document(*measured, device=epyc()))


def test_all_points_of_a_curve_must_have_time_enough() -> None:
    """30 s for each of 25 points is longer than any limit."""
    slow = [10 * seconds for seconds in noisy(0.02, 30)]
    assert advised(curve(2, slow)) == {"time_limit_seconds": 30}
    assert "Try" not in curve(25, slow)


def test_all_points_of_a_curve_must_have_samples_enough() -> None:
    """The 20,000 of a benchmark are shared by its points."""
    quick = [seconds / 100 for seconds in noisy(0.05, 200)]
    assert advised(curve(2, quick)) == {"time_limit_seconds": 0.2}
    assert "Try" not in curve(20, quick)
