"""Wait until no other program uses a device: its work would be in every sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gpubench.devices.base import Device
from gpubench.devices.profile import DeviceProfile
from gpubench.measure.validity import BUSY_MEMORY_RATIO
from gpubench.results.machine import IdleGate, Usage
from gpubench.units import format_percent

WINDOW_SECONDS = 0.05
"""Of one look at the device. Processor time is counted in ticks of 10 ms: on two cores a look sees ten."""

BUSY_RATIO = 0.1
"""Above this a device is busy; an idle processor still has its housekeeping, and a GPU its screen."""


def _nothing() -> None:
    pass


def wait_for_idle(
    device: Device,
    limit_seconds: float,
    raise_if_cancelled: Callable[[], None],
    report: Callable[[str], None],
    raise_clocks: Callable[[], None] = _nothing,
) -> IdleGate:
    """Look until the device is idle or the limit is over; an idle device costs one look.

    A device whose use is not known counts as idle. ``report`` is called with a message after each look
    that finds it busy. A GPU that seems busy is judged again after ``raise_clocks``, which makes it work for
    a moment: at idle clocks a desktop alone was reported to keep one busy for 40 % of the time
    (https://github.com/pop-os/cosmic-comp/issues/2153).
    """
    begin = time.monotonic()
    raised_seconds: float | None = None
    while True:
        raise_if_cancelled()
        looked_at = time.monotonic()
        usage = device.usage(WINDOW_SECONDS)
        busy, known = is_busy(usage), usage.kernels_busy_ratio is not None
        waited = time.monotonic() - begin
        over = waited >= limit_seconds + (raised_seconds or 0.0)
        if over or not (busy or (raised_seconds is not None and not known)):
            return IdleGate(idle=not busy, waited_seconds=round(waited, 3), usage=usage)
        report(f"waiting for an idle device: {describe_usage(usage) or 'its use is not known yet'}")
        if raised_seconds is None and known:
            raise_clocks()
            raised_seconds = time.monotonic() - looked_at
        # Some runtimes return at once.
        time.sleep(max(0.0, WINDOW_SECONDS - (time.monotonic() - looked_at)))


def wait_limit_seconds(profile: DeviceProfile, time_limits_seconds: Iterable[float]) -> float:
    """No longer than the shortest time limit of a benchmark: a quick run should not wait long."""
    shortest = min(*time_limits_seconds, profile.max_idle_wait_seconds)
    return max(shortest, profile.min_idle_wait_seconds)


def is_busy(usage: Usage) -> bool:
    """Programs that only hold a context of a GPU do not make it busy, if it is known that they do no more."""
    ratios = (usage.others_busy_ratio or 0.0, usage.kernels_busy_ratio or 0.0)
    unknown = usage.kernels_busy_ratio is None and (usage.other_processes or 0) > 0
    return max(ratios) > BUSY_RATIO or (usage.memory_busy_ratio or 0.0) > BUSY_MEMORY_RATIO or unknown


def describe_usage(usage: Usage) -> str:
    """Such as ``others use 63.0 % of the processors``; empty if nothing is known."""
    parts = []
    if usage.others_busy_ratio is not None:
        parts.append(f"others use {format_percent(usage.others_busy_ratio)} of the processors")
    if usage.kernels_busy_ratio is not None:
        parts.append(f"it runs kernels {format_percent(usage.kernels_busy_ratio)} of the time")
    if usage.memory_busy_ratio:
        parts.append(f"its memory is used {format_percent(usage.memory_busy_ratio)} of the time")
    if usage.processes:
        parts.append(f"used by {', '.join(usage.processes)}")
    elif usage.other_processes:
        parts.append(f"{usage.other_processes} other programs compute on it")
    return ", ".join(parts)
