"""The figure through the socket beside the one measured in process: does the service cost any of it?

Pairs of runs, in turns A B, B A; the ratio of each pair, its median and 95 % interval.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from gpubench_client import Client
from in_process import rate, run
from record import keep

from gpubench.devices.base import Device
from gpubench.devices.runtimes import open_device
from gpubench.measure.statistics import median, summarize
from gpubench.protocol.messages import BenchmarkRequest

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 24


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        addresses = Path(scratch, "addresses.json")
        server = subprocess.Popen(
            [sys.executable, "-m", "gpubench_server", "--listen", "tcp://127.0.0.1:0",
             "--http", "127.0.0.1:0", "--data-dir", f"{scratch}/data", "--address-file", addresses]
        )  # fmt: skip
        try:
            while not addresses.exists() and server.poll() is None:
                pass
            ratios = compare(json.loads(addresses.read_text())["tcp"])
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    keep("socket_pairs", "ratio", {"triad through the socket / in process": ratios})
    summary = summarize(ratios)
    print(
        f"triad through the socket / in process: {summary.median_seconds:.4f}, 95 % interval "
        f"{summary.low_seconds:.4f} to {summary.high_seconds:.4f}, {len(ratios)} pairs"
    )
    return 0


def compare(url: str) -> list[float]:
    with Client(url) as client:
        info = next(each for each in client.devices().devices if not each.unavailable)
        device = open_device(info.id)
        pins = pinned(device)
        asked = BenchmarkRequest("triad", {"time_limit_seconds": 1.0, **pins})

        def through_socket() -> float:
            return rate(client.run([asked], device=info.id).measurements[0])

        def in_process() -> float:
            return rate(run(device, [asked]).measurements[0])

        ratios = []
        for index in range(PAIRS):
            if index % 2:
                here = in_process()
                there = through_socket()
            else:
                there = through_socket()
                here = in_process()
            ratios.append(there / here)
            print(f"pair {index + 1}: {ratios[-1]:.4f}, median {median(ratios):.4f}", file=sys.stderr)
        return ratios


def pinned(device: Device) -> dict[str, object]:
    """The shape that tuning chooses here, for both sides alike."""
    shape = msgspec.structs.asdict(run(device, ["triad"]).tunings[0].chosen)
    return {name: value for name, value in shape.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
