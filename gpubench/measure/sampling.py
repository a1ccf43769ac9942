"""Warm up, and find how many passes make a sample."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpubench.devices.base import MAX_HELD_ENTRIES, Device, Operation, entries
from gpubench.devices.profile import profile_of
from gpubench.measure.statistics import median
from gpubench.results.machine import Clocks

LAUNCH_SECONDS = 20e-6
"""What a host needs at most to enqueue a launch."""
MIN_TRIAL_SECONDS = 1e-3
"""Of a sample that only compares shapes, all of which have the same overhead."""

WINDOW_SECONDS = 0.1
AGREEMENT_RATIO = 0.01
COLD_LIMIT_SECONDS = 2.0
"""For a device that was idle: a first copy was seen to vary by 24 %, and idle GPUs run at 405 MHz."""
BUSY_LIMIT_SECONDS = 0.5
"""For a device that another benchmark of the run has just kept busy."""

TICKS_PER_SAMPLE = 100
"""Of the device's clock: a sample is up to one tick too long or too short, which is 1 % of it."""
TICKS_PER_LOOK = 10
"""Of the device's clock, for a look at how many passes make a sample."""
_MAX_LOOK_PASSES = 4096
MAX_TRIES = 3
"""Of a run that is timed and whose figure is not published: a slow host does not fail it."""

CancelCheck = Callable[[], None]
"""Called between operations; raises ``Cancelled`` if the run is to end."""


@dataclass(frozen=True)
class WarmUp:
    """``passes`` make a sample; ``seconds`` is how long the warm-up took."""

    passes: int
    seconds: float


def warm_up(
    device: Device,
    operations: Sequence[Operation],
    limit_seconds: float,
    raise_if_cancelled: CancelCheck,
    *,
    window_seconds: float,
    tick_seconds: float,
) -> WarmUp:
    """Run passes until two windows agree within 1 % and the memory clock is steady.

    A sample lasts as long as the profile says, or ``TICKS_PER_SAMPLE`` ticks of the device's clock.
    """
    begin = time.monotonic()
    usual_seconds = profile_of(device.info.kind).min_sample_seconds
    sample_seconds = max(usual_seconds, TICKS_PER_SAMPLE * tick_seconds)
    passes = 1
    if sample_seconds > usual_seconds:  # one pass may end before the device's clock ticks
        passes = passes_for(operations, pass_seconds(device, operations, tick_seconds), sample_seconds)
    before: tuple[float, Clocks] | None = None
    while True:
        seconds, passes = _window(
            device, operations, passes, raise_if_cancelled, window_seconds, sample_seconds
        )
        now = (seconds, device.clocks())
        if before and _agree(before, now):
            break
        if time.monotonic() - begin >= limit_seconds:
            break
        before = now
    return WarmUp(passes, time.monotonic() - begin)


def pass_seconds(device: Device, operations: Sequence[Operation], tick_seconds: float) -> float:
    """Of one pass, from as many as last some ticks of the device's clock."""
    passes = 1
    while True:
        seconds = timed(device, list(operations) * passes)
        if seconds >= TICKS_PER_LOOK * tick_seconds or passes >= _MAX_LOOK_PASSES:
            return seconds / passes
        passes *= 4


def timed(device: Device, operations: Sequence[Operation]) -> float:
    """The seconds of a run, which is repeated if it began before all of it was queued."""
    for _ in range(MAX_TRIES):
        late_starts = device.late_starts
        seconds = device.run(operations)
        if device.late_starts == late_starts:
            break
    return seconds


def passes_for(operations: Sequence[Operation], pass_seconds: float, sample_seconds: float) -> int:
    """How many passes of ``operations`` make a sample of ``sample_seconds`` or more.

    Fewer if the host needs longer to enqueue a pass than the device to run it: passes that are not
    enqueued before the first one begins would be timed at the host's pace.
    """
    if pass_seconds <= 0:
        return 1
    queued = max(1, sum(map(entries, operations)))
    passes = math.ceil(sample_seconds / pass_seconds)
    if pass_seconds < LAUNCH_SECONDS * queued:
        passes = min(passes, MAX_HELD_ENTRIES // queued)
    return max(1, passes)


def _window(
    device: Device,
    operations: Sequence[Operation],
    passes: int,
    raise_if_cancelled: CancelCheck,
    window_seconds: float,
    sample_seconds: float,
) -> tuple[float, int]:
    """Run for ``window_seconds``; the median seconds of a pass, and how many make a sample."""
    spent, each = 0.0, []
    begin = time.monotonic()
    while spent < window_seconds and time.monotonic() - begin < COLD_LIMIT_SECONDS:
        raise_if_cancelled()
        seconds = timed(device, list(operations) * passes)
        spent += seconds
        each.append(seconds / passes)
        passes = max(passes, passes_for(operations, seconds / passes, sample_seconds))
    return median(each), passes


def _agree(before: tuple[float, Clocks], now: tuple[float, Clocks]) -> bool:
    near = abs(now[0] - before[0]) <= AGREEMENT_RATIO * before[0]
    return near and now[1].memory_hz == before[1].memory_hz
