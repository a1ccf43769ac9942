"""Copies in turns with the driver's own, torch's and cupy's, and what it costs to ask NVML meanwhile.

    python bench/gpu_copies.py DEVICE [--footprint BYTES] [--rounds N] [--output FOLDER]

A part of gpu_check.py in a process of its own: the contexts and gigabytes that others keep would be in the
way of whatever is measured next. Prints lines of a table, of which ``WRONG:`` begins those of mistakes, and
writes every round to ``copies.json``.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from in_process import run
from record import BUILD, reach_of, write

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.comparison.verdicts import MINIMUM_EFFECT
from gpubench.devices.base import Device
from gpubench.devices.runtimes import open_device
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import chunk_bytes
from gpubench.measure.statistics import median, summarize
from gpubench.requests import BenchmarkRequest

COPIES = 10
"""Between two events, of each contender alike: what the host needs to queue the first is in some times."""

WATCHED_SECONDS, WATCHED_PAIRS, MIN_LOOKS = 0.5, 5, 6

Copy = Callable[[], float]
"""Copies ``COPIES`` times and returns the seconds of one by the device's clock."""


def main() -> int:
    options = _options()
    device = open_device(options.device)
    asked = BenchmarkRequest("copy", {"footprint_bytes": options.footprint})
    measured = run(device, [asked]).measurements[0]
    assert measured.shape and measured.footprint_bytes, measured.reason
    arena, row = Arena(device), STREAM["copy"]
    segments = arena.cut(
        measured.footprint_bytes, row.arrays, ELEMENT_BYTES["double"], chunk_bytes(measured.shape)
    )
    task = StreamTask(Programs(device), row, "double", segments, seed=1)
    task.fill()
    launches = task.launches(measured.shape) * COPIES

    def own() -> float:
        return device.run(launches) / COPIES

    _tell(_watched(device, own))
    source, target = (view.pointer for view in segments[0].arrays)
    array_bytes = task.footprint_bytes // row.arrays
    makers = {
        "cuMemcpyDtoD": partial(_driver_copy, source, target, array_bytes),
        "torch": partial(_torch, array_bytes),
        "cupy": partial(_cupy, array_bytes),
    }
    peers, absent = contenders(makers)
    _tell([f"- {name} is not compared: {reason}" for name, reason in absent.items()])
    seconds = _in_turns({"gpubench": own, **peers}, options.rounds)
    write("copies", "s", seconds, options.output, array_bytes=array_bytes, absent=absent)
    _tell(said_of(seconds, 2 * array_bytes))
    return 0


def contenders(makers: dict[str, Callable[[], Copy]]) -> tuple[dict[str, Copy], dict[str, str]]:
    """Those that copy, and why the others do not: a library may be missing, or fail where it is used."""
    made, absent = {}, {}
    for name, make in makers.items():
        try:
            copy = make()
            copy()
            made[name] = copy
        except Exception as error:
            absent[name] = " ".join(f"{type(error).__name__}: {error}".split())
    return made, absent


def said_of(seconds: dict[str, list[float]], copied_bytes: int) -> list[str]:
    """Bandwidths, and the ratio of ours to each peer's; one that is surely below 0.995 is wrong."""
    said = [f"- {name}: {copied_bytes / median(each) / 1e9:.1f} GB/s" for name, each in seconds.items()]
    for name, theirs in list(seconds.items())[1:]:
        pairs = zip(theirs, seconds["gpubench"], strict=True)
        ratio = summarize([their / own for their, own in pairs])
        text = f"{ratio.median_seconds:.4f} ({reach_of(ratio, 4)})"
        said.append(f"- copy / that of {name}: {text}")
        if ratio.high_seconds < 1 - MINIMUM_EFFECT:
            said.append(f"WRONG: copy is below that of {name}: {text}")
    return said


def _in_turns(copies: dict[str, Copy], rounds: int) -> dict[str, list[float]]:
    """Every other round in the opposite order."""
    seconds: dict[str, list[float]] = {name: [] for name in copies}
    for index in range(rounds):
        for name in list(copies)[:: -1 if index % 2 else 1]:
            copies[name]()  # what another left in the cache is not its own
            seconds[name].append(copies[name]())
    return seconds


def _watched(device: Device, copy: Copy) -> list[str]:
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


def _mean_seconds(copy: Copy) -> float:
    """Of all copies of a while: few of them meet a look, so the median would see none."""
    seconds, until = [], time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        seconds.append(copy())
    return sum(seconds) / len(seconds)


def _driver_copy(source: int, target: int, array_bytes: int) -> Copy:
    import pycuda.driver as cuda

    stream, begin, end = cuda.Stream(), cuda.Event(), cuda.Event()

    def copy() -> float:
        begin.record(stream)
        for _ in range(COPIES):
            cuda.memcpy_dtod_async(target, source, array_bytes, stream)
        end.record(stream)
        end.synchronize()
        return float(end.time_since(begin)) * 1e-3 / COPIES

    return copy


def _torch(array_bytes: int) -> Copy:
    import torch

    source = torch.rand(array_bytes // 8, dtype=torch.float64, device="cuda")
    target = torch.empty_like(source)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def copy() -> float:
        begin.record()
        for _ in range(COPIES):
            target.copy_(source)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3 / COPIES

    return copy


def _cupy(array_bytes: int) -> Copy:
    import cupy

    source = cupy.random.rand(array_bytes // 8)
    target = cupy.empty_like(source)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()

    def copy() -> float:
        begin.record()
        for _ in range(COPIES):
            cupy.copyto(target, source)
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) * 1e-3 / COPIES

    return copy


def _tell(lines: list[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="copies in turns with those of others")
    parser.add_argument("device", help="its id, such as cuda:GPU-...")
    parser.add_argument("--footprint", type=int, help="bytes; as much as keeps caches out unless given")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of copies.json")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:
        traceback.print_exc()
        _tell([f"WRONG: copies could not be compared: {error}"])
        code = 1
    os._exit(code)  # three libraries in one context: whose exit handler ends it first is nobody's figure
