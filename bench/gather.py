"""``make peers``: gpubench's reads at random places beside reads in C from a list made beforehand.

Both read lines of 64 bytes of a footprint of the same size, on huge pages, in a random order of their own.
gpubench computes the places while it reads: if that limited it, the list would be faster.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from in_process import rate, run
from record import BUILD, keep, ratio_of

from gpubench.devices import host
from gpubench.devices.base import Device
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.measure.run_context import RunContext
from gpubench.measure.statistics import median
from gpubench.requests import BenchmarkRequest
from gpubench.units import format_bytes

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 11
LINE_BYTES = 64
REPEATS = 5


def main() -> int:
    BUILD.mkdir(exist_ok=True)
    source, program = Path(__file__).with_name("gather.c"), BUILD / "gather"
    subprocess.run(["gcc", "-O2", "-march=native", "-pthread", "-o", program, source], check=True)
    peer = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    runtime = OpenClRuntime()
    own, others = [], []
    with closing(runtime.open(next(info.id for info in runtime.devices() if info.kind == "cpu"))) as device:
        footprint_bytes = RunContext(device).footprint_bytes(None)
        _ask(peer, footprint_bytes)
        for number in range(ROUNDS):
            for ours in (
                (True, False) if number % 2 else (False, True)
            ):  # each goes first as often as the other
                if ours:
                    own.append(_gather(device, footprint_bytes))
                else:
                    others.append(median([_ask(peer, footprint_bytes) for _ in range(REPEATS)]))
    peer.terminate()
    print(f"\nlines read at random places, {host.describe_host().processor}, {format_bytes(footprint_bytes)}")
    print(
        f"medians of {ROUNDS} alternating rounds: gpubench {median(own) / 1e6:.1f} million/s, C with a list"
    )
    print(f"{median(others) / 1e6:.1f} million/s, ratio {ratio_of(own, others)}")
    keep("gather", "accesses/s", {"gather": {"gpubench": own, "C with a list": others}})
    return 0


def _gather(device: Device, footprint_bytes: int) -> float:
    parameters = {"footprint_bytes": footprint_bytes, "time_limit_seconds": 0.3}
    measured = run(device, [BenchmarkRequest("gather", parameters)]).measurements
    return next(rate(each) for each in measured if each.axes == {"piece_bytes": LINE_BYTES}) / LINE_BYTES


def _ask(peer: subprocess.Popen[str], footprint_bytes: int) -> float:
    """Accesses per second."""
    assert peer.stdin and peer.stdout
    peer.stdin.write(f"{footprint_bytes}\n")
    peer.stdin.flush()
    return 1 / float(peer.stdout.readline())


if __name__ == "__main__":
    sys.exit(main())
