"""Figures of this checkout beside those of an earlier commit, in turns: what a change of kernels did to them.

    python bench/revisions.py COMMIT BENCHMARK... [--rounds N] [--device ID]

Each run is a process of its own. A benchmark with several points is compared point by point.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from record import keep, ratio_of

from gpubench.measure.statistics import median
from gpubench.units import format_bandwidth

HERE = Path(__file__).resolve().parents[1]

TIME_LIMIT_SECONDS = 1.0

PROGRAM = "import sys; from gpubench_client.cli.main import main; sys.exit(main())"


class Bandwidth(msgspec.Struct):
    median: float


class Measured(msgspec.Struct):
    """What all versions of the run document have."""

    benchmark: str
    axes: dict[str, int | float | str] = {}
    bandwidth_bytes_per_second: Bandwidth | None = None


class Document(msgspec.Struct):
    measurements: list[Measured]


def main() -> int:
    options = _options()
    with _checkout(options.commit) as before:
        trees = {options.commit: before, "this checkout": HERE}
        rounds: dict[str, dict[str, list[float]]] = {}
        for index in range(options.rounds):
            for name in list(trees)[:: -1 if index % 2 else 1]:
                for label, rate in _rates(trees[name], options.benchmarks, options.device).items():
                    rounds.setdefault(label, {each: [] for each in trees})[name].append(rate)
            print(f"round {index + 1} of {options.rounds}", file=sys.stderr)
    keep("revisions", "byte/s", rounds, device=options.device, commit=options.commit)
    for label, each in rounds.items():
        was, now = each[options.commit], each["this checkout"]
        medians = [format_bandwidth(median(rates)) for rates in (was, now)]
        print(f"{label}: {' -> '.join(medians)}, ratio {ratio_of(now, was)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("benchmarks", nargs="+", metavar="BENCHMARK")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--device", default="opencl-cpu0")
    return parser.parse_args()


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _rates(tree: Path, benchmarks: Sequence[str], device: str) -> dict[str, float]:
    """Bandwidths of one run by that tree's own program, by benchmark and axes; raises if it fails."""
    path = os.pathsep.join(str(tree / each) for each in (".", "server", "clients"))
    command = [sys.executable, "-P", "-c", PROGRAM, "run", *benchmarks, "--device", device]
    done = subprocess.run(
        [*command, "--set", f"time_limit_seconds={TIME_LIMIT_SECONDS}", "--json"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tree,
        stdout=subprocess.PIPE,
        check=True,
    )
    document = msgspec.json.decode(done.stdout, type=Document)
    return {
        " ".join([each.benchmark, *(f"{name} {value}" for name, value in each.axes.items())]): (
            each.bandwidth_bytes_per_second.median
        )
        for each in document.measurements
        if each.bandwidth_bytes_per_second is not None
    }


if __name__ == "__main__":
    sys.exit(main())
