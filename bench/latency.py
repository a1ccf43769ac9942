"""``make peers``: gpubench's walk from pointer to pointer beside one in C, on host memory.

Both take turns at the same footprint, in lines of 64 bytes on huge pages; what counts is the ratio
within a round.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from record import BUILD, keep, ratio_of

from gpubench.benchmarks.latency.chase import Chase, whole_steps
from gpubench.devices import host
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.measure.run_context import RunContext
from gpubench.measure.statistics import median
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.units import format_bytes, format_seconds

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 21
SECONDS = 0.05
LINE_BYTES = 64
FOOTPRINTS = (16 << 10, 256 << 10, 4 << 20, 256 << 20)


def main() -> int:
    BUILD.mkdir(exist_ok=True)
    source, program = Path(__file__).with_name("latency.c"), BUILD / "latency"
    subprocess.run(["gcc", "-O2", "-march=native", "-o", program, source], check=True)
    peer = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    runtime = OpenClRuntime()
    device = runtime.open(next(info.id for info in runtime.devices() if info.kind == "cpu"))
    context = RunContext(device)
    about = host.describe_host()
    caches = ", ".join(f"L{each.level} {format_bytes(each.nbytes)}" for each in host.data_caches())
    print(f"\nlatency of a step, {about.processor}, {caches}; medians of {ROUNDS} alternating rounds\n")
    print("| footprint | gpubench | C | ratio |\n| :-- | --: | --: | :-- |")
    rounds = {}
    for footprint in FOOTPRINTS:
        own, others = _rounds(context, peer, footprint)
        rounds[format_bytes(footprint)] = {"gpubench": own, "C": others}
        shown = " | ".join(format_seconds(median(each)) for each in (own, others))
        print(f"| {format_bytes(footprint)} | {shown} | {ratio_of(own, others)} |", flush=True)
    peer.terminate()
    keep("latency", "s", rounds)
    return 0


def _rounds(
    context: RunContext, peer: subprocess.Popen[str], footprint: int
) -> tuple[list[float], list[float]]:
    """Seconds of a step, ours and the peer's."""
    [segment] = context.arena.cut(footprint, 1, 8, LINE_BYTES)
    chase, reports = (
        Chase(context, segment.arrays[0], footprint, line_bytes=LINE_BYTES),
        MismatchReports(context.device),
    )
    if chase.link(reports).mismatches:
        sys.exit("latency: the nodes are no cycle")
    chase.begin()
    steps = whole_steps(SECONDS / chase.warm_up(chase.nodes))
    chase.begin()
    _ask(peer, footprint, steps)
    own, others = [], []
    for number in range(ROUNDS):
        # Each goes first as often as the other.
        for ours in (True, False) if number % 2 else (False, True):
            if ours:
                own.append(context.device.run([chase.steps(steps)]) / steps)
            else:
                others.append(_ask(peer, footprint, steps))
    if chase.result(steps).mismatches:
        sys.exit("latency: the walk ended elsewhere")
    chase.release()
    reports.release()
    return own, others


def _ask(peer: subprocess.Popen[str], footprint: int, steps: int) -> float:
    assert peer.stdin and peer.stdout
    peer.stdin.write(f"{footprint} {steps}\n")
    peer.stdin.flush()
    return float(peer.stdout.readline())


if __name__ == "__main__":
    sys.exit(main())
