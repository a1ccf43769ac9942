"""The figure through the socket beside the one measured in process: does the service cost any of it?

    python bench/socket_pairs.py [PAIRS] [--output FOLDER]

Pairs of runs, in turns A B, B A; the ratio of each pair, its median and 95 % interval. On a GPU each side
keeps a context, and so is another program to the other: both wait the same 1.2 s before they measure, which
they would do for the other's last second of work alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
from gpubench_client import Client
from in_process import rate, run
from record import BUILD, reach_of, write
from serving import serving

from gpubench.devices.base import Device
from gpubench.devices.profile import MAX_GROUPS
from gpubench.devices.runtimes import open_device
from gpubench.measure.statistics import median, summarize
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Shape


def main() -> int:
    options = _options()
    with serving() as (url, _):
        ratios = compare(url, options.pairs, options.output)
    summary = summarize(ratios)
    print(
        f"triad through the socket / in process: {summary.median_seconds:.4f} "
        f"({reach_of(summary, 4)}), {len(ratios)} pairs; in brackets the 95 % interval, or the range"
    )
    return 0


def compare(url: str, pairs: int, folder: Path) -> list[float]:
    """The ratio of each pair; all so far are in ``folder`` after each."""
    with Client(url) as client:
        info = next(each for each in client.devices().devices if not each.unavailable)
        device = open_device(info.id)
        asked = BenchmarkRequest("triad", {"time_limit_seconds": 1.0, **pins(tuned(device))})

        def through_socket() -> float:
            return rate(client.run([asked], device=info.id).measurements[0])

        def in_process() -> float:
            return rate(run(device, [asked]).measurements[0])

        ratios: list[float] = []
        for index in range(pairs):
            if index % 2:
                here = in_process()
                there = through_socket()
            else:
                there = through_socket()
                here = in_process()
            ratios.append(there / here)
            write("socket_pairs", "ratio", {"triad through the socket / in process": ratios}, folder)
            print(f"pair {index + 1}: {ratios[-1]:.4f}, median {median(ratios):.4f}", file=sys.stderr)
        return ratios


def tuned(device: Device) -> Shape:
    """The shape that tuning chooses here, for both sides alike."""
    return run(device, ["triad"]).tuning[0].chosen


def pins(shape: Shape) -> dict[str, object]:
    """Parameters that leave this shape alone, so that nobody tunes again."""
    return {**msgspec.structs.asdict(shape), "groups": shape.groups or MAX_GROUPS}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the figure through the socket beside the one in process")
    parser.add_argument("pairs", nargs="?", type=int, default=24)
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of socket_pairs.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
