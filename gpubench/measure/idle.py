"""Wait until nobody else uses a device: what others do meanwhile is in every sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gpubench.devices.base import Device
from gpubench.measure.validity import Kind
from gpubench.results.machine import IdleGate, Usage
from gpubench.units import format_percent

LIMIT_SECONDS = {"cpu": 2.0, "gpu": 5.0, "accelerator": 5.0}
"""Whoever is still there then stays for longer than anybody waits."""

LEAST_SECONDS = {"cpu": 0.0, "gpu": 1.2, "accelerator": 0.0}
"""A look at a GPU is of its last second: the first that shows that somebody has ended comes after it."""

WINDOW_SECONDS = 0.05
"""Of a look. The processor's time is counted in ticks of 10 ms: of two cores a look sees ten."""

BUSY_RATIO = 0.1
"""More than this is use; a processor that idles still has its housekeeping, and a GPU its screen."""


def wait_for_idle(
    device: Device, limit_seconds: float, raise_if_cancelled: Callable[[], None], tell: Callable[[str], None]
) -> IdleGate:
    """Look until the device is idle or the limit is over; a quiet device costs one look.

    A device that cannot tell is taken for idle. ``tell`` is given who is in the way, after each
    look that finds somebody; what ``raise_if_cancelled`` raises ends the wait.
    """
    begin = time.monotonic()
    while True:
        raise_if_cancelled()
        looked_at = time.monotonic()
        usage = device.usage(WINDOW_SECONDS)
        waited = time.monotonic() - begin
        if not is_busy(usage) or waited >= limit_seconds:
            return IdleGate(idle=not is_busy(usage), waited_seconds=round(waited, 3), usage=usage)
        tell(f"waiting for an idle device: {in_words(usage)}")
        # Some runtimes answer at once.
        time.sleep(max(0.0, WINDOW_SECONDS - (time.monotonic() - looked_at)))


def limit_seconds(kind: Kind, benchmark_seconds: Iterable[float]) -> float:
    """No longer than the quickest benchmark samples: who asks for a glance does not want to wait."""
    return max(min(*benchmark_seconds, LIMIT_SECONDS[kind]), LEAST_SECONDS[kind])


def is_busy(usage: Usage) -> bool:
    ratios = (usage.others_busy_ratio or 0.0, usage.kernels_busy_ratio or 0.0)
    return max(ratios) > BUSY_RATIO or (usage.other_processes or 0) > 0


def in_words(usage: Usage) -> str:
    """What others do: ``others use 63.0 % of the processors``; empty where nothing is known."""
    said = []
    if usage.others_busy_ratio is not None:
        said.append(f"others use {format_percent(usage.others_busy_ratio)} of the processors")
    if usage.kernels_busy_ratio is not None:
        said.append(f"it runs kernels {format_percent(usage.kernels_busy_ratio)} of the time")
    if usage.other_processes:
        said.append(f"{usage.other_processes} other programs compute on it")
    return ", ".join(said)
