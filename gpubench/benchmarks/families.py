"""Which module measures which family of benchmarks; imported by the worker alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpubench.benchmarks import (
    cache_sweep,
    integrity,
    latency,
    launch,
    loaded_latency,
    memory_map,
    mix,
    occupancy,
    pattern,
    random_access,
    stream,
    strided,
    sustained,
    transfer,
)
from gpubench.measure.workbench import Workbench
from gpubench.results.document import Finding, Measurement
from gpubench.worker.messages import PlannedBenchmark

Measure = Callable[[Workbench, PlannedBenchmark], Iterator[Measurement | Finding]]
"""Measures a planned benchmark, and tells each measurement and finding as soon as it stands.

Raises ``Skipped`` where the device cannot do it, ``BenchmarkFailed`` and ``InvalidParameters`` where
this benchmark alone fails.
"""

FAMILIES: dict[str, Measure] = {
    "cache_sweep": cache_sweep.measure,
    "latency": latency.measure,
    "loaded_latency": loaded_latency.measure,
    "launch": launch.measure,
    "integrity": integrity.measure,
    "memory_map": memory_map.measure,
    "mix": mix.measure,
    "pattern": pattern.measure,
    "random": random_access.measure,
    "occupancy": occupancy.measure,
    "stream": stream.measure,
    "strided": strided.measure,
    "sustained": sustained.measure,
    "transfer": transfer.measure,
}
