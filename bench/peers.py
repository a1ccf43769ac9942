"""``make peers``: gpubench beside likwid-bench, STREAM-style loops in C, and numpy, on host memory.

The machine's speed may change by half between minutes, so the contenders take turns, at the same
footprint, and what counts is the ratio within a round. Bytes are counted alike: read and write once
the array, copy twice, triad three times.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from in_process import tuned
from record import BUILD, keep, ratio_of

from gpubench.devices import host
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.kernels.programs import Programs
from gpubench.measure.memory import Arena
from gpubench.measure.statistics import median
from gpubench.measure.validity import required_footprint_bytes
from gpubench.results.document import Shape

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 41
SECONDS = 0.25
IN_A_ROW = 4
"""Passes, as the others make them. A run has one for a sample of this size, and waits for its end."""

KERNELS = ("read", "write", "copy", "triad")
LIKWID = {
    "read": ("load_avx512", "load_avx", "load_sse"),
    "write": ("store_mem_avx512", "store_mem_avx", "store_mem_sse"),
    "copy": ("copy_mem_avx512", "copy_mem_avx", "copy_mem_sse"),
    "triad": ("stream_mem_avx512", "stream_mem_avx_fma", "stream_mem_avx", "stream_mem_sse"),
}

Contender = Callable[[str], float]
"""Runs a kernel for about ``SECONDS``, after a pass that is not timed, and gives GB/s."""


def gpubench(footprint: int) -> tuple[Contender, dict[str, Shape]]:
    """Verified and tuned as a run does it, and timed by the device's clock; with the shapes that it uses."""
    runtime = OpenClRuntime()
    device = runtime.open(next(info.id for info in runtime.devices() if info.kind == "cpu"))
    programs = Programs(device)
    tasks = {name: tuned(device, programs, Arena(device), name, footprint) for name in KERNELS}

    def run(name: str) -> float:
        task, shape = tasks[name]
        task.fill()
        if task.run_and_verify(shape).mismatches:
            sys.exit(f"peers: {name} is wrong")
        launches, passes, seconds = task.launches(shape), 0, 0.0
        device.run(launches)
        while seconds < SECONDS:
            seconds += device.run(launches * IN_A_ROW)
            passes += IN_A_ROW
        return task.pass_bytes(shape)[1] * passes / seconds / 1e9

    return run, {name: shape for name, (_, shape) in tasks.items()}


def c_loops(footprint: int) -> Contender:
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "stream"
    source = Path(__file__).with_name("stream.c")
    subprocess.run(["gcc", "-O3", "-march=native", "-fopenmp", "-o", program, source], check=True)
    process = subprocess.Popen(
        [program, str(footprint)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )

    def run(name: str) -> float:
        assert process.stdin and process.stdout
        process.stdin.write(f"{name} {SECONDS}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return run


def likwid(footprint: int) -> Contender:
    """The fastest of likwid-bench's variants on this machine, found once.

    It makes no untimed pass: four times the others' seconds, so that its first one weighs little.
    """
    flags = set(Path("/proc/cpuinfo").read_text().split())
    threads = host.describe_host().cores
    passes = max(4, int(4 * SECONDS * 2e10 / footprint))  # at its own choice it takes seconds

    def once(test: str) -> float:
        size = f"S0:{footprint // 1000}kB:{threads}"
        command = ["likwid-bench", "-t", test, "-w", size, "-i", str(passes)]
        said = subprocess.run(command, capture_output=True, text=True)
        found = re.search(r"MByte/s:\s+([\d.]+)", said.stdout)
        return float(found[1]) / 1000 if found else 0.0

    fastest = {}
    for kernel, tests in LIKWID.items():
        able = [test for test in tests if "avx512" not in test or "avx512f" in flags]
        fastest[kernel] = max(able, key=lambda test: median([once(test) for _ in range(3)]))
    print(
        "likwid-bench:", ", ".join(f"{kernel} = {test}" for kernel, test in fastest.items()), file=sys.stderr
    )
    return lambda name: once(fastest[name])


def numpy_calls(footprint: int) -> Contender:
    memory = np.ones(footprint // 8)
    calls: dict[str, tuple[int, Callable[..., object]]] = {
        "read": (1, lambda a: a.sum()),
        "write": (1, lambda a: a.fill(3.0)),
        "copy": (2, lambda a, b: np.copyto(b, a)),
        "triad": (3, lambda a, b, c: np.add(np.multiply(b, 3.0, out=c), a, out=c)),
    }

    def run(name: str) -> float:
        count, call = calls[name]
        arrays = np.split(memory[: len(memory) // count * count], count)
        call(*arrays)
        begin, passes = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < SECONDS or not passes:
            call(*arrays)
            passes += 1
        return 1e-9 * passes * sum(a.nbytes for a in arrays) / elapsed

    return run


def main() -> int:
    cache, free = host.last_level_cache_bytes(), host.available_memory_bytes()
    footprint = required_footprint_bytes("cpu", cache, free)
    own, shapes = gpubench(footprint)
    contenders = {"gpubench": own, "C + OpenMP": c_loops(footprint), "numpy": numpy_calls(footprint)}
    if shutil.which("likwid-bench"):
        contenders["likwid-bench"] = likwid(footprint)
    else:
        print("likwid-bench is not installed: apt install likwid; going on without it", file=sys.stderr)
    rates: dict[tuple[str, str], list[float]] = {}
    for index in range(ROUNDS):
        # The order turns with the rounds, so that no one always follows the same neighbour.
        names = list(contenders)[index % len(contenders) :] + list(contenders)[: index % len(contenders)]
        for kernel in KERNELS:
            for name in names:
                rates.setdefault((kernel, name), []).append(contenders[name](kernel))
        print(f"round {index + 1} of {ROUNDS}", file=sys.stderr)
    by_kernel = {kernel: {name: rates[kernel, name] for name in contenders} for kernel in KERNELS}
    about = {"footprint_bytes": footprint, "last_level_cache_bytes": cache}
    keep("peers", "GB/s", by_kernel, **about, shapes=msgspec.to_builtins(shapes))
    report(rates, list(contenders), footprint, cache)
    return 0


def report(
    rates: dict[tuple[str, str], list[float]], names: list[str], footprint: int, cache: int | None
) -> None:
    about = host.describe_host()
    print(f"\n{about.processor}, {about.cores} cores, {about.os}, {platform.release()}")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, footprint {footprint >> 20} MiB, "
        f"last-level cache {(cache or 0) >> 20} MiB"
    )
    print(
        f"medians of {ROUNDS} alternating rounds, GB/s; "
        "ratio: gpubench / the peer with the best median, in the same round, 95 % interval or range; "
        "best rounds: ratio of the fastest rounds\n"
    )
    print("| kernel | " + " | ".join(names) + " | ratio | best rounds |")
    print("| :-- | " + "--: | " * len(names) + ":-- | --: |")
    for kernel in KERNELS:
        own = rates[kernel, names[0]]
        best_peer = max(names[1:], key=lambda name: median(rates[kernel, name]))
        best = max(own) / max(rate for name in names[1:] for rate in rates[kernel, name])
        cells = [f"{median(rates[kernel, name]):.1f}" for name in names]
        ratio = ratio_of(own, rates[kernel, best_peer])
        print(f"| {kernel} | {' | '.join(cells)} | {ratio} | {best:.3f} |")


if __name__ == "__main__":
    sys.exit(main())
