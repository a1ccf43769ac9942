"""``make peers``: gpubench's transfers beside numpy and C's memcpy, on a device that is the processor.

There a transfer is a copy in the host's memory, which both peers do too. All take turns with the same
bytes between the same two places; what counts is the ratio within a round.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import numpy as np
from record import keep, ratio_of

from gpubench.devices import host
from gpubench.devices.base import Copy
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.measure.statistics import median
from gpubench.measure.verification.host_data import fill_elements
from gpubench.units import format_bytes

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 21
SECONDS = 0.05
SIZES = (64 << 10, 1 << 20, 16 << 20, 256 << 20)

Transfer = Callable[[int], float]
"""Copies so many times in a row and gives the seconds."""


def main() -> int:
    runtime = OpenClRuntime()
    device = runtime.open(next(info.id for info in runtime.devices() if info.kind == "cpu"))
    largest = max(SIZES)
    source, allocation = device.host_memory(largest, pinned=False), device.allocate(largest)
    fill_elements(source.array.view(np.uint64), 1, lambda: None)
    place = allocation.view(0, largest)
    # The place where the device's memory lies, for the peers to write to.
    target = allocation._memory  # type: ignore[attr-defined]

    def by_gpubench(nbytes: int) -> Transfer:
        return lambda times: device.run([Copy(place, source, nbytes)] * times)

    def by_numpy(nbytes: int) -> Transfer:
        here, there = source.array[:nbytes], target[:nbytes]
        return lambda times: _timed(lambda: np.copyto(there, here), times)

    def by_memcpy(nbytes: int) -> Transfer:
        here, there = source.array.ctypes.data, target.ctypes.data
        return lambda times: _timed(lambda: ctypes.memmove(there, here, nbytes), times)

    about = host.describe_host()
    print(f"\nhost to device, {about.processor}; GB/s, medians of {ROUNDS} alternating rounds\n")
    print("| size | gpubench | numpy | memcpy | ratio to the best peer |\n| :-- | --: | --: | --: | :-- |")
    rounds = {}
    for nbytes in SIZES:
        makers = {"gpubench": by_gpubench, "numpy": by_numpy, "memcpy": by_memcpy}
        rates = _rounds(nbytes, {name: make(nbytes) for name, make in makers.items()})
        rounds[format_bytes(nbytes)] = rates
        print(_row(nbytes, rates), flush=True)
        if not np.array_equal(target[:nbytes], source.array[:nbytes]):
            sys.exit("transfer: what arrived is not what was sent")
    keep("transfer", "GB/s", rounds)
    return 0


def _timed(copy: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        copy()
    return time.perf_counter() - begin


def _rounds(nbytes: int, transfers: dict[str, Transfer]) -> dict[str, list[float]]:
    """GB/s of each contender."""
    times = max(1, round(SECONDS / max(transfer(2) / 2 for transfer in transfers.values())))
    rates: dict[str, list[float]] = {name: [] for name in transfers}
    names = list(transfers)
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            transfers[name](1)  # what another left in the caches is not its own
            rates[name].append(nbytes * times / transfers[name](times) / 1e9)
    return rates


def _row(nbytes: int, rates: dict[str, list[float]]) -> str:
    own, *others = rates.values()
    best = max(others, key=median)
    shown = " | ".join(f"{median(each):.1f}" for each in rates.values())
    return f"| {format_bytes(nbytes)} | {shown} | {ratio_of(own, best)} |"


if __name__ == "__main__":
    sys.exit(main())
