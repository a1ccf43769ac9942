"""Copy, triad, read and write in turns with the driver's, torch's and cupy's, and what asking NVML costs.

    python bench/gpu_peers.py DEVICE [--footprint BYTES] [--rounds N] [--output FOLDER]

A part of gpu_check.py in a process of its own: the contexts and gigabytes that others keep would be in the
way of whatever is measured next. Prints lines of a table, of which ``WRONG:`` begins those of mistakes, and
writes every round to ``peers.json``.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from gpu_libraries import LIBRARIES, Contender, Library
from in_process import run
from record import BUILD, reach_of, write

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.comparison.verdicts import MINIMUM_EFFECT
from gpubench.devices.base import Device, Launch
from gpubench.devices.runtimes import open_device
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena, releasing
from gpubench.measure.shapes import chunk_bytes
from gpubench.measure.statistics import median, summarize
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Shape

KERNELS = ("copy", "triad", "read", "write")

PASSES = 10
"""Between two events, of each contender alike: what the host needs to queue the first is in some times."""

WATCHED_SECONDS, WATCHED_PAIRS, MIN_LOOKS = 0.5, 5, 6


def main() -> int:
    options = _options()
    device = open_device(options.device)
    libraries = _present()
    seconds: dict[str, dict[str, list[float]]] = {}
    moved_bytes: dict[str, int] = {}
    for kernel in KERNELS:
        with ExitStack() as stack:
            task, shape = _tuned(device, kernel, options.footprint, stack)
            array_bytes = task.footprint_bytes // STREAM[kernel].arrays
            own = partial(_seconds, device, task.launches(shape) * PASSES)
            if kernel == "copy":
                _tell(_watched(device, own))
            contenders = {"gpubench": own, **_others(libraries, kernel, task.segments[0].arrays, array_bytes)}
            seconds[kernel] = _in_turns(contenders, options.rounds)
            contenders.clear()
            for library in libraries.values():
                with suppress(Exception):  # what it could not even make need not be freed
                    library.free()
        moved_bytes[kernel] = STREAM[kernel].arrays * array_bytes
        write("peers", "s", seconds, options.output, moved_bytes=moved_bytes)
        _tell(said_of(kernel, seconds[kernel], moved_bytes[kernel]))
    return 0


def _present() -> dict[str, Library]:
    """Those that can be used here; a line for each of the others."""
    found: dict[str, Library] = {}
    for name, make in LIBRARIES.items():
        try:
            found[name] = make()
        except Exception as error:
            _tell([f"- {name} is not compared: {_words(error)}"])
    return found


def _tuned(device: Device, kernel: str, footprint: int | None, stack: ExitStack) -> tuple[StreamTask, Shape]:
    """Ours, filled, and the shape that a run chooses."""
    measured = run(device, [BenchmarkRequest(kernel, {"footprint_bytes": footprint})]).measurements[0]
    assert measured.shape and measured.footprint_bytes, measured.reason
    row = STREAM[kernel]
    segments = stack.enter_context(releasing(Arena(device))).cut(
        measured.footprint_bytes, row.arrays, ELEMENT_BYTES["double"], chunk_bytes(measured.shape)
    )
    task = stack.enter_context(releasing(StreamTask(Programs(device), row, "double", segments, seed=1)))
    task.fill()
    return task, measured.shape


def _seconds(device: Device, launches: Sequence[Launch]) -> float:
    return device.run(launches) / PASSES


def _others(
    libraries: Mapping[str, Library], kernel: str, arrays: Sequence[Any], array_bytes: int
) -> dict[str, Contender]:
    """Those that run: a library may fail where it is used, and that costs nobody else."""
    found: dict[str, Contender] = {}
    for name, library in libraries.items():
        try:
            made = library.contenders(kernel, arrays, array_bytes, PASSES)
            for each in made.values():
                each()
            found |= made
        except Exception as error:
            _tell([f"- {kernel} of {name} is not compared: {_words(error)}"])
    return found


def said_of(kernel: str, seconds: dict[str, list[float]], moved_bytes: int) -> list[str]:
    """Bandwidths, and the ratio of ours to each peer's; one that is surely below 0.995 is wrong."""
    said = [
        f"- {kernel}, {name}: {moved_bytes / median(each) / 1e9:.1f} GB/s" for name, each in seconds.items()
    ]
    for name, theirs in list(seconds.items())[1:]:
        pairs = zip(theirs, seconds["gpubench"], strict=True)
        ratio = summarize([their / own for their, own in pairs])
        text = f"{ratio.median_seconds:.4f} ({reach_of(ratio, 4)})"
        said.append(f"- {kernel} / that of {name}: {text}")
        if ratio.high_seconds < 1 - MINIMUM_EFFECT:
            said.append(f"WRONG: {kernel} is below that of {name}: {text}")
    return said


def _in_turns(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Every other round in the opposite order."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds):
        for name in list(contenders)[:: -1 if index % 2 else 1]:
            contenders[name]()  # what another left in the cache is not its own
            seconds[name].append(contenders[name]())
    return seconds


def _watched(device: Device, copy: Contender) -> list[str]:
    """How much longer copies take while NVML is asked, in turns with copies while it is not."""
    if absent := device.watch().stop().absent:
        return [f"- copies could not be watched: {absent}"]
    ratios, looks = [], []
    for _ in range(WATCHED_PAIRS):
        alone = _mean_seconds(copy)
        watch = device.watch()
        watched = _mean_seconds(copy)
        looks.append(len(watch.stop().samples))
        ratios.append(watched / alone)
    said = [
        f"- copies while NVML is asked / while it is not: {median(ratios):.5f} of the time "
        f"({min(ratios):.5f} to {max(ratios):.5f}), {min(looks)} looks or more in {WATCHED_SECONDS:g} s"
    ]
    if min(looks) < MIN_LOOKS:
        said.append(f"- NVML was asked only {min(looks)} times while copies ran: too few to tell the cost")
    return said


def _mean_seconds(copy: Contender) -> float:
    """Of all copies of a while: few of them meet a look, so the median would see none."""
    seconds, until = [], time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        seconds.append(copy())
    return sum(seconds) / len(seconds)


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _tell(lines: list[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="kernels in turns with those of others")
    parser.add_argument("device", help="its id, such as cuda:GPU-...")
    parser.add_argument("--footprint", type=int, help="bytes; as much as keeps caches out unless given")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of peers.json")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:
        traceback.print_exc()
        _tell([f"WRONG: peers could not be compared: {_words(error)}"])
        code = 1
    os._exit(code)  # three libraries in one context: whose exit handler ends it first is nobody's figure
