"""Whether the device's clock keeps time, and how finely it ticks: every figure is divided by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from gpubench.devices.base import Device, Launch
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import Programs
from gpubench.measure.shapes import helper_grid

LEAST_RATIO, MOST_RATIO = 0.5, 1.1
"""The device's seconds over the host's, for the same work. The host's include what it takes to start the work
and to learn that it has ended: drivers were seen between 0.69 and 0.98."""

_BYTES = 16 << 20
_LONG_SECONDS = 0.01
_LONGER_SECONDS = 0.1
"""If a look does not satisfy: something else may have kept the host from seeing the end."""
_LOOKS = 3
_MAX_LAUNCHES = 1 << 14
_TICKS = 20
"""In a pass by which a clock is judged."""
_SHORT_WORDS = (1, 100, 300, 700, 1500, 3100, 6300, 12700)
_LEAST_TICK_SECONDS = 1e-9


@dataclass
class _Looks:
    """``seen`` are all times that the device's clock gave."""

    device: Device
    launch: Callable[[int], Launch]
    words: int
    raise_if_cancelled: Callable[[], None]
    seen: set[float] = field(default_factory=lambda: {0.0})

    def run(self, words: int, launches: int = 1) -> tuple[float, float]:
        """Seconds by the device's clock and by the host's."""
        self.raise_if_cancelled()
        begin = time.monotonic()
        seconds = self.device.run([self.launch(words)] * launches)
        host_seconds = time.monotonic() - begin
        self.seen.add(seconds)
        return seconds, host_seconds

    def ratio(self, seconds: float) -> float:
        """The highest of some passes that last so long for the host: whatever delays the host lowers it."""
        launches = 1
        while self.run(self.words, launches)[1] < seconds and launches < _MAX_LAUNCHES:
            launches *= 2
        pairs = [self.run(self.words, launches) for _ in range(_LOOKS)]
        return max((ours / host for ours, host in pairs if host), default=0.0)

    @property
    def tick_seconds(self) -> float:
        """The least difference between two times; 0 if it is too small to matter."""
        times = sorted(self.seen)
        apart = [b - a for a, b in pairwise(times) if b - a >= _LEAST_TICK_SECONDS]
        return min(apart, default=0.0)


def verify_device_clock(device: Device, programs: Programs, raise_if_cancelled: Callable[[], None]) -> float:
    """Hold the device's clock against the host's over long passes; returns the seconds between two ticks.

    Raises ``BenchmarkFailed`` if it does not keep time.
    """
    grid = helper_grid(device.info)
    kernel = programs.verify("double", grid.group_size).kernel("poison")
    limit = device.info.max_allocation_bytes or _BYTES
    nbytes = min(_BYTES, limit, device.free_bytes() // 8) // 4096 * 4096
    memory = device.allocate(nbytes)
    try:
        view = memory.view(0, nbytes)
        looks = _Looks(
            device,
            lambda words: Launch(kernel, grid.groups, grid.group_size, (view, words)),
            nbytes // 8,
            raise_if_cancelled,
        )
        for words in _SHORT_WORDS:
            looks.run(min(words, nbytes // 8))
        ratio = looks.ratio(_LONG_SECONDS)
        if not LEAST_RATIO <= ratio <= MOST_RATIO:
            ratio = looks.ratio(max(_LONGER_SECONDS, _TICKS * looks.tick_seconds))
    finally:
        memory.release()
    if not LEAST_RATIO <= ratio <= MOST_RATIO:
        raise BenchmarkFailed(
            f"the device's clock does not keep time: for work that took 1 s it shows {ratio:.3g} s (allowed: "
            f"{LEAST_RATIO:g} to {MOST_RATIO:g} s), so every figure would be wrong; try another driver"
        )
    return looks.tick_seconds
