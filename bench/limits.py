"""What limits each benchmark: its kernels over a footprint that fits into a cache, beside the memory.

Both run the same instructions for each byte. A kernel that is much faster in the cache is limited by the
memory; one that is no faster is limited by its own arithmetic, and its figure is not the memory's.
"""

from __future__ import annotations

import sys
from contextlib import closing

from in_process import run
from record import keep, ratio_of

from gpubench.devices.base import Device
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.measure.run_context import RunContext
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 8

BENCHMARKS = (
    "read",
    "write",
    "copy",
    "triad",
    "dot",
    "mix",
    "pattern",
    "strided",
    "gather",
    "scatter",
    "update",
)

CACHE_PART = 4
"""The footprint in a cache is this part of the last-level cache: smaller passes would mostly be launches."""

MIN_FOOTPRINT_BYTES = 1 << 20


def rates(device: Device, footprint_bytes: int) -> dict[str, float]:
    """Payload byte/s of every point of every benchmark, by benchmark and axes."""
    parameters = {"footprint_bytes": footprint_bytes, "time_limit_seconds": 0.2}
    document = run(device, [BenchmarkRequest(name, parameters) for name in BENCHMARKS])
    return {label(m): rate for m in document.measurements if (rate := payload_rate(m)) is not None}


def label(measurement: Measurement) -> str:
    axes = " ".join(f"{name} {value}" for name, value in measurement.axes.items())
    return f"{measurement.benchmark} {axes}".strip()


def payload_rate(measurement: Measurement) -> float | None:
    """A sector that is read for one word crosses the memory's bus, but not a cache's: so not bus bytes."""
    bandwidth = measurement.bandwidth_bytes_per_second
    if bandwidth is None or not measurement.bus_bytes or not measurement.payload_bytes:
        return None
    return bandwidth.median * measurement.payload_bytes / measurement.bus_bytes


def main() -> int:
    info = next(each for each in survey(list(RUNTIMES))[0] if not each.unavailable)
    cached_bytes = max((info.last_level_cache_bytes or 0) // CACHE_PART, MIN_FOOTPRINT_BYTES)
    ratios: dict[str, list[float]] = {}
    with closing(open_device(info.id)) as device:
        memory_bytes = RunContext(device).footprint_bytes(None)
        for index in range(ROUNDS):
            sizes = (cached_bytes, memory_bytes)[:: -1 if index % 2 else 1]
            found = {size: rates(device, size) for size in sizes}
            for name in found[cached_bytes].keys() & found[memory_bytes].keys():
                ratios.setdefault(name, []).append(found[cached_bytes][name] / found[memory_bytes][name])
            print(f"round {index + 1} of {ROUNDS}", file=sys.stderr)
    keep("limits", "ratio", ratios, device=info.name)
    print(f"\n{info.name}: in the cache / in memory, medians of {ROUNDS} rounds, 95 % interval")
    for name, each in sorted(ratios.items()):
        print(f"{name}: {ratio_of(each, [1.0] * len(each))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
