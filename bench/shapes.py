"""Every access shape of a wide grid, in turns: is there a better one than the few that the tuner tries?

    python bench/shapes.py [DEVICE] [--benchmarks NAME ...] [--footprint BYTES] [--output FOLDER]

Three heats for each benchmark: all shapes for two rounds; the best of them beside those of the tuner for
more; the winner beside the tuner's own choice alone, so that it is not the luck of the one drawn from many.
The winner is verified. Prints a table, and writes every trial to ``shapes.json``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from record import BUILD, reach_of, write

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Device
from gpubench.devices.profile import profile_of
from gpubench.devices.runtimes import RUNTIMES, open_device, survey
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import Access, candidates, chunk_bytes
from gpubench.measure.statistics import summarize
from gpubench.measure.tuning import best, rates, standings, try_shapes
from gpubench.measure.validity import required_footprint_bytes
from gpubench.results.document import Shape, Trial
from gpubench.results.machine import DeviceInfo

DTYPE = "double"
FINALISTS = 16
HEAT_BUDGETS = (1, 20, 20)
"""Of the three heats, as multiples of the tuner's."""

MAX_BYTES_OF_A_THREAD = 256
"""In flight: more than that is spilled, since a thread has 255 registers of 4 bytes for three arrays."""

MAX_CHUNK_BYTES = 128 << 10
"""Of a group in flight: half of a multiprocessor's registers."""


def main() -> int:
    options = _options()
    device = open_device(options.device or _first())
    kept: dict[str, list[list[Trial]]] = {}
    for name in options.benchmarks:
        begin = time.monotonic()
        kept[name] = heats = heats_of(device, name, options.footprint)
        print("\n".join(said_of(name, heats, device.info)), flush=True)
        print(f"shapes: {name}, {time.monotonic() - begin:.1f} s", file=sys.stderr)
        about = {"device": msgspec.to_builtins(device.info)}
        write("shapes", "trial", msgspec.to_builtins(kept), options.output, **about)
    return 0


def _first() -> str:
    """Only where none is named: a look loads every runtime's libraries into this process."""
    usable = [each.id for each in survey(list(RUNTIMES))[0] if not each.unavailable]
    return usable[0] if usable else sys.exit("no device is usable here; `gpubench devices` tells why")


def heats_of(device: Device, name: str, footprint_bytes: int | None) -> list[list[Trial]]:
    """Raises ``BenchmarkFailed`` where no shape runs; ends the program where the winner is wrong."""
    row, info = STREAM[name], device.info
    own = candidates(info, row.access, DTYPE, {})
    shapes = list(dict.fromkeys([*own, *grid(info, row.access)]))
    arena = Arena(device)
    footprint_bytes = footprint_bytes or required_footprint_bytes(
        info.kind, info.last_level_cache_bytes, device.free_bytes()
    )
    segments = arena.cut(footprint_bytes, row.arrays, ELEMENT_BYTES[DTYPE], max(map(chunk_bytes, shapes)))
    task = StreamTask(Programs(device), row, DTYPE, segments, seed=1)
    task.fill()
    profile = profile_of(info.kind)
    budgets = iter([multiple * profile.tuning_budget_seconds for multiple in HEAT_BUDGETS])

    def heat(contenders: Sequence[Shape]) -> list[Trial]:
        return try_shapes(device, task, contenders, lambda: None, lambda part: None, next(budgets))

    first = heat(shapes)
    second = heat(list(dict.fromkeys([*own, *ranked(first)[:FINALISTS]])))
    final = heat([best(second), best(second[: len(own)])])
    if task.run_and_verify(final[0].shape).mismatches:
        sys.exit(f"shapes: {name} is wrong in {final[0].shape}")
    task.release()
    arena.release()
    return [first, second, final]


def grid(info: DeviceInfo, access: Access) -> list[Shape]:
    """All combinations that a device of this kind could do with."""
    units = info.compute_units or 1
    streaming = (False,) if access == "read" else (False, True)
    if profile_of(info.kind).shape_table == "cores":
        every = itertools.product(
            (16, 32, 64, 128), (1, 2, 4, 8, 16), (1,), ("tile", "halves"), streaming, (1, 8, 64)
        )
    else:
        every = itertools.product(
            (16, 32),
            (1, 2, 4, 8, 16),
            (128, 256, 512, 1024),
            ("grid", "tile"),
            streaming,
            (None, 1, 2, 3, 4, 8, 16, 32),
        )
    shapes = (Shape(*row, groups=units * each if each else None) for *row, each in every)
    return [shape for shape in shapes if _may_be(shape)]


def _may_be(shape: Shape) -> bool:
    if shape.order == "halves" and shape.unroll < 2:
        return False
    if shape.order == "tile" and not shape.groups:
        return False
    if shape.group_size == 1:
        return True
    held = shape.vector_bytes * shape.unroll
    return held <= MAX_BYTES_OF_A_THREAD and held * shape.group_size <= MAX_CHUNK_BYTES


def ranked(trials: Sequence[Trial]) -> list[Shape]:
    """From the best on, without those that could not run."""
    rated = sorted(standings(trials), key=lambda each: each[1], reverse=True)
    return [trial.shape for trial, _ in rated]


def said_of(name: str, heats: Sequence[Sequence[Trial]], info: DeviceInfo) -> list[str]:
    first, second, (winner, own) = heats
    ratio = summarize([a / b for a, b in zip(rates(winner), rates(own), strict=True)])
    failed = [trial for trial in first if trial.reason]
    said = ["", f"{name}: {len(first)} shapes, of which {len(failed)} did not run", ""]
    said += ["| shape | GB/s | to the middle |", "| :-- | --: | --: |"]
    for trial, standing in sorted(standings(second), key=lambda each: each[1], reverse=True):
        rate = trial.bandwidth_bytes_per_second or 0.0
        said.append(f"| {words(trial.shape, info)} | {rate / 1e9:.1f} | {standing:.4f} |")
    return [
        *said,
        "",
        f"The winner over the tuner's choice ({words(own.shape, info)}): "
        f"{ratio.median_seconds:.4f} ({reach_of(ratio, 4)})",
    ]


def words(shape: Shape, info: DeviceInfo) -> str:
    units = info.compute_units or 1
    groups = f"{shape.groups / units:g} groups a unit" if shape.groups else "a group for each chunk"
    stores = ", streaming" if shape.streaming_stores else ""
    return (
        f"{shape.vector_bytes} B x {shape.unroll}, {shape.group_size} items, {shape.order}, {groups}{stores}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a wide grid of access shapes beside those of the tuner")
    parser.add_argument("device", nargs="?", help="its id; the first one there is unless given")
    names = ("read", "write", "copy", "triad")
    parser.add_argument("--benchmarks", nargs="+", choices=list(STREAM), default=names, metavar="NAME")
    parser.add_argument("--footprint", type=int, help="bytes; as much as keeps caches out unless given")
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of shapes.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
