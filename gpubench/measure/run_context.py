"""What every benchmark of a run works with: the device, its memory and programs, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import msgspec

from gpubench.catalog.theory import theory_for_device
from gpubench.devices.base import Allocation, Device, Launch, Operation
from gpubench.devices.profile import profile_of
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.kernels.source import ReadSource, read_source
from gpubench.measure.annotate import merge, since
from gpubench.measure.memory import Arena, parts
from gpubench.measure.progress import ProgressReporter
from gpubench.measure.sampling import (
    BUSY_LIMIT_SECONDS,
    COLD_LIMIT_SECONDS,
    WINDOW_SECONDS,
    WarmUp,
    warm_up,
)
from gpubench.measure.shapes import helper_grid
from gpubench.measure.validity import required_footprint_bytes
from gpubench.measure.verification.device_data import check_data
from gpubench.requests import StatedMemory
from gpubench.results.document import Shape, Tuning
from gpubench.results.machine import IdleGate, Telemetry, Theory

MAX_SAMPLES = 20_000
"""Of a benchmark, all its figures together, so that a document with 64 of them stays one that is taken."""


class Skipped(Exception):
    """This device or runtime cannot do a benchmark; the message says why. No fault of anybody's."""


class Control(Protocol):
    """Who may end a run, and who is told of its tuning."""

    def raise_if_cancelled(self) -> None:
        """Raises ``Cancelled`` where the run is to end."""
        ...

    def tuned(self, tuning: Tuning) -> None: ...


class RunContext:
    """The state of one run, handed to each benchmark in turn; ``progress`` is the current one's."""

    progress: ProgressReporter

    def __init__(
        self,
        device: Device,
        control: Control,
        memory: StatedMemory | None = None,
        read: ReadSource = read_source,
    ) -> None:
        self.device = device
        self.profile = profile_of(device.info.kind)
        self.raise_if_cancelled = control.raise_if_cancelled
        self.tuned = control.tuned
        self.programs = Programs(device, read)
        self.arena = Arena(device, partial(_touch, device, self.programs, self.raise_if_cancelled))
        self.theory: Theory | None = theory_for_device(device.info, memory)
        # What a client states may not lift the bar that the device itself sets.
        peaks = [t.peak_bytes_per_second for t in (self.theory, theory_for_device(device.info)) if t]
        self.peak_bytes_per_second = min(peaks, default=None)
        self.free_bytes = device.free_bytes()
        self.shapes: dict[tuple[object, ...], Shape] = {}
        """The access shapes that tuning found, by what they were tuned for."""
        self.before: IdleGate | None = None
        """Whether the device was idle before the run."""
        self.samples_left = MAX_SAMPLES
        """That the current benchmark may still take."""
        self._proved = False
        self._begin = time.monotonic()
        self._watched: list[Telemetry] = []
        self.warm = False
        """Whether the device has been busy for long enough to have its pace."""

    def begin(self, progress: ProgressReporter) -> None:
        """The next benchmark."""
        self.progress = progress
        self.samples_left = MAX_SAMPLES

    def samples_each(self, figures: int) -> int:
        """How many samples each of so many figures may have: the parts to come get as many as this one."""
        return max(1, self.samples_left // (self.progress.parts_left * max(figures, 1)))

    def warm_up(self, operations: Sequence[Operation]) -> WarmUp:
        """Run passes until the device has its pace; shorter where it has been busy already."""
        if self.warm:
            limit, window = BUSY_LIMIT_SECONDS, self.profile.warm_window_seconds
        else:
            limit, window = COLD_LIMIT_SECONDS, WINDOW_SECONDS
        done = warm_up(self.device, operations, limit, self.raise_if_cancelled, window)
        self.warm = True
        return done

    def prove_data(self) -> None:
        """Once in a run, of both widths; raises ``BenchmarkFailed`` where the device makes other data."""
        if not self._proved:
            for dtype in ELEMENT_BYTES:
                check_data(self.device, self.programs, dtype)
            self._proved = True

    @property
    def telemetry(self) -> Telemetry:
        """Of all that was watched so far."""
        return msgspec.structs.replace(merge(self._watched), before=self.before)

    @property
    def last_watched(self) -> Telemetry:
        return self._watched[-1]

    def footprint_bytes(self, asked: int | None) -> int:
        """What was asked for, or as much as keeps caches out."""
        info = self.device.info
        return asked or required_footprint_bytes(info.kind, info.last_level_cache_bytes, self.free_bytes)

    def point_limit_seconds(self, asked: float | None = None) -> float:
        """Of sampling one of a curve's points: what was asked for, or the kind of device's."""
        return asked or self.profile.point_time_limit_seconds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the device meanwhile; ``last_watched`` has it afterwards."""
        begin = time.monotonic() - self._begin
        watch = self.device.watch()
        try:
            yield
        finally:
            telemetry = since(begin, watch.stop())
            self._watched.append(msgspec.structs.replace(telemetry, before=self.before))

    def run(self, operations: Sequence[Operation]) -> float:
        """Each on its own, so that a cancel is heard between them; the sum of their seconds."""
        seconds = 0.0
        for operation in operations:
            self.raise_if_cancelled()
            seconds += self.device.run([operation])
        return seconds


def whole_memory_bytes(context: RunContext, parameters: dict[str, Any]) -> int:
    """The footprint or the share asked for, else the profile's share of what is free, or its most.

    Free is what was so before the run and still is.
    """
    if parameters["footprint_bytes"]:
        return int(parameters["footprint_bytes"])
    asked, most = parameters["memory_share_ratio"], context.profile.max_default_memory_bytes
    share = asked or context.profile.memory_share_ratio
    free = int(min(context.free_bytes, context.device.free_bytes() + context.arena.nbytes) * share)
    return free if asked or most is None else min(free, max(most, context.footprint_bytes(None)))


@contextmanager
def taken_memory(context: RunContext, nbytes: int, step_bytes: int) -> Iterator[list[Allocation]]:
    """Up to ``nbytes`` in allocations of a step or more, every byte of it written once.

    Raises ``OutOfDeviceMemory`` if there is not one step. Whether they stay with the arena afterwards,
    for the next such benchmark, is for the profile to say.
    """
    try:
        yield context.arena.take(nbytes, step_bytes)
    finally:
        if not context.profile.keeps_whole_memory:
            context.arena.release()


def _touch(
    device: Device, programs: Programs, raise_if_cancelled: Callable[[], None], allocation: Allocation
) -> None:
    """Use every byte of it."""
    grid = helper_grid(device.info)
    poison = programs.verify("double", grid.group_size).kernel("poison")
    for offset, nbytes in parts(allocation.nbytes, profile_of(device.info.kind).untimed_launch_bytes):
        raise_if_cancelled()
        arguments = (allocation.view(offset, nbytes), nbytes // 8)
        device.run([Launch(poison, grid.groups, grid.group_size, arguments)])
