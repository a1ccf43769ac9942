"""Figures of one memory that should agree: the sweep's end beside the stream figures, integrity beside copy.

Where neighbours share a memory, two runs after each other hardly meet the same one. So a step of
integrity stands between two passes of copy, and what counts is the ratio within a round: its median and
95 % interval. The sweep's end and the stream figures are runs, every other round in the opposite order.
"""

from __future__ import annotations

import sys
from contextlib import closing

from in_process import rate, run, tuned
from record import keep, ratio_of

from gpubench.benchmarks.integrity.benchmark import memory_under_test
from gpubench.benchmarks.integrity.memory import WORD_BYTES, MemoryUnderTest
from gpubench.benchmarks.integrity.patterns import PATTERNS, Pattern, Step
from gpubench.devices.base import Device
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.measure.memory import Arena
from gpubench.measure.run_context import RunContext
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 16
INTEGRITY_BYTES = 2 << 30

REQUESTS = [
    BenchmarkRequest("read", {"time_limit_seconds": 0.5}),
    BenchmarkRequest("cache_sweep", {"kernel": "read"}),
    BenchmarkRequest("copy", {"time_limit_seconds": 0.5}),
    BenchmarkRequest("cache_sweep", {"kernel": "copy"}),
]


def sweep_beside_stream(device: Device, requests: list[BenchmarkRequest]) -> dict[str, float]:
    """What the sweep says of its largest footprint over the stream figure, of one run."""
    measured = run(device, requests).measurements
    stream = {each.benchmark: rate(each) for each in measured if each.benchmark in ("read", "copy")}
    return {
        f"{kernel}: end of the sweep / stream": rate(sweep_end(measured, kernel)) / stream[kernel]
        for kernel in stream
    }


def sweep_end(measured: list[Measurement], kernel: str) -> Measurement:
    curve = [m for m in measured if m.benchmark == "cache_sweep" and m.axes["kernel"] == kernel]
    return max(curve, key=lambda each: each.footprint_bytes or 0)


def integrity_beside_copy(device: Device) -> list[dict[str, float]]:
    """Round by round, byte/s of each pattern's steps, and of all, over that of the copies around them."""
    context = RunContext(device)
    arena = Arena(device)
    copy, shape = tuned(device, context.programs, arena, "copy", context.footprint_bytes(None))
    passes = copy.launches(shape)
    rounds = []
    with memory_under_test(context, INTEGRITY_BYTES) as memory:
        for turn in range(ROUNDS):
            # By pattern: what its steps took, and what the same bytes take by copying, at the pace that
            # copies have before and after each step.
            took: dict[str, tuple[float, float]] = {}
            for name, pattern in PATTERNS.items():
                copies, steps, by_copy = [device.run(passes)], 0.0, 0.0
                for step in pattern.steps:
                    steps += seconds_of(memory, pattern, step, pattern.salt(0, turn))
                    copies.append(device.run(passes))
                    moved = step.moves * memory.words * WORD_BYTES
                    by_copy += moved * (copies[-2] + copies[-1]) / 2 / copy.footprint_bytes
                took[f"integrity, {name} / copy"] = by_copy, steps
            copied, tested = zip(*took.values(), strict=True)
            took["integrity, all patterns / copy"] = sum(copied), sum(tested)
            rounds.append({name: by_copy / steps for name, (by_copy, steps) in took.items()})
    copy.release()
    arena.release()
    return rounds


def seconds_of(memory: MemoryUnderTest, pattern: Pattern, step: Step, salt: int) -> float:
    """Of one step over all memory, in which nothing may be wrong."""
    seconds: list[float] = []
    found = memory.run(pattern, step, salt, lambda number, spent: seconds.append(spent))
    if found.words:
        sys.exit(f"agreement: {found.words} words are wrong after {step} of {pattern.name}")
    return sum(seconds)


def main() -> int:
    info = next(each for each in survey(list(RUNTIMES))[0] if not each.unavailable)
    with closing(open_device(info.id)) as device:
        rounds = integrity_beside_copy(device)
        for index in range(ROUNDS):
            rounds[index] |= sweep_beside_stream(device, REQUESTS[:: -1 if index % 2 else 1])
            print(f"round {index + 1} of {ROUNDS}", file=sys.stderr)
    by_name = {name: [each[name] for each in rounds] for name in rounds[0]}
    keep("agreement", "ratio", by_name, device=info.name)
    print(f"\n{info.name}: medians of {ROUNDS} rounds, 95 % interval")
    for name, each in by_name.items():
        print(f"{name}: {ratio_of(each, [1.0] * ROUNDS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
