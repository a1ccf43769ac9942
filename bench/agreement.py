"""Figures of one memory that should agree: the sweep's end beside the stream figures, integrity beside copy.

Rounds of short runs, every other one in the opposite order; the ratio within each round, its median and
95 % interval.
"""

from __future__ import annotations

import sys

from in_process import rate, run
from record import keep, ratio_of

from gpubench.devices.base import Device
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.measure.statistics import median
from gpubench.protocol.messages import BenchmarkRequest
from gpubench.results.document import Measurement

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 16
INTEGRITY_BYTES = 1 << 30

REQUESTS = [
    BenchmarkRequest("read", {"time_limit_seconds": 0.5}),
    BenchmarkRequest("cache_sweep", {"kernel": "read"}),
    BenchmarkRequest("copy", {"time_limit_seconds": 0.5}),
    BenchmarkRequest("cache_sweep", {"kernel": "copy"}),
    BenchmarkRequest("integrity", {"footprint_bytes": INTEGRITY_BYTES}),
]


def ratios(device: Device, requests: list[BenchmarkRequest]) -> dict[str, float]:
    """What is said over what it should agree with, of one run."""
    measured = run(device, requests).measurements
    stream = {each.benchmark: rate(each) for each in measured if each.benchmark in ("read", "copy")}
    swept = {kernel: sweep_end(measured, kernel) for kernel in stream}
    tested = [each for each in measured if each.benchmark == "integrity"]
    return {
        **{f"{kernel}: end of the sweep / stream": rate(swept[kernel]) / stream[kernel] for kernel in stream},
        **{f"integrity, {each.axes['pattern']} / copy": rate(each) / stream["copy"] for each in tested},
        "integrity, all patterns / copy": all_patterns(tested) / stream["copy"],
    }


def sweep_end(measured: list[Measurement], kernel: str) -> Measurement:
    curve = [m for m in measured if m.benchmark == "cache_sweep" and m.axes["kernel"] == kernel]
    return max(curve, key=lambda each: each.footprint_bytes or 0)


def all_patterns(tested: list[Measurement]) -> float:
    """byte/s of all that was moved; a sample is one of equal parts of the memory."""
    return sum(each.bus_bytes or 0 for each in tested) / sum(median(each.samples_seconds) for each in tested)


def main() -> int:
    info = next(each for each in survey(list(RUNTIMES))[0] if not each.unavailable)
    device = open_device(info.id)
    rounds = []
    for index in range(ROUNDS):
        rounds.append(ratios(device, REQUESTS[:: -1 if index % 2 else 1]))
        print(f"round {index + 1} of {ROUNDS}", file=sys.stderr)
    by_name = {name: [each[name] for each in rounds] for name in rounds[0]}
    keep("agreement", "ratio", by_name, device=info.name)
    print(f"\n{info.name}: medians of {ROUNDS} rounds, 95 % interval")
    for name, each in by_name.items():
        print(f"{name}: {ratio_of(each, [1.0] * ROUNDS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
