"""Measurements with samples of a known noise, to test what reports say of them and advise."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from gpubench.benchmarks.plan import plan
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.measure.diagnostics import bimodal
from gpubench.measure.statistics import summarize
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement
from gpubench.results.machine import DeviceInfo
from tests.documents import measurement, processor


def usual(benchmark: str = "triad", **parameters: Any) -> dict[str, Any]:
    """Complete parameters of a benchmark, as a document has them."""
    [planned] = plan([BenchmarkRequest(benchmark, parameters)])
    return planned.parameters


def epyc(cache_bytes: int | None = 260 * 1024**2, **fields: Any) -> DeviceInfo:
    return msgspec.structs.replace(processor(), last_level_cache_bytes=cache_bytes, **fields)


def noisy(spread: float, count: int, seed: int = 1) -> list[float]:
    """Samples of about 10 ms, independent of each other."""
    rng = random.Random(seed)
    return [0.01 * rng.lognormvariate(0, spread) for _ in range(count)]


def unstable(samples: list[float], benchmark: str = "triad", **fields: Any) -> Measurement:
    known = usual(benchmark) if benchmark in BENCHMARKS else {}
    rate = summarize(samples).bandwidth(3 * 10**8)
    given = {"parameters": known, "bimodal": bimodal(samples), "flags": ["unstable"], **fields}
    given["bandwidth_bytes_per_second"] = rate
    return msgspec.structs.replace(measurement(30.0, benchmark, samples_seconds=samples), **given)
