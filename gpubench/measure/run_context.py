"""What every benchmark of a run works with: the device, its memory and programs, and who may cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import msgspec

from gpubench.catalog.theory import theory_for_device
from gpubench.devices import host
from gpubench.devices.base import Allocation, Device, Launch, Operation
from gpubench.devices.profile import profile_for, profile_of
from gpubench.errors import OutOfDeviceMemory
from gpubench.kernels.programs import ELEMENT_BYTES, OnBuildFailed, Programs
from gpubench.kernels.source import ReadSource, read_source
from gpubench.measure.annotate import merge, since
from gpubench.measure.memory import Arena, parts, whole_pages
from gpubench.measure.progress import ProgressReporter
from gpubench.measure.sampling import (
    BUSY_LIMIT_SECONDS,
    COLD_LIMIT_SECONDS,
    TICKS_PER_SAMPLE,
    WINDOW_SECONDS,
    WarmUp,
    pass_seconds,
    warm_up,
)
from gpubench.measure.shapes import helper_grid
from gpubench.measure.stopping import MAX_SAMPLES
from gpubench.measure.validity import required_footprint_bytes
from gpubench.measure.verification.device_clock import verify_device_clock
from gpubench.measure.verification.device_data import verify_device_data
from gpubench.requests import StatedMemory
from gpubench.results.document import Shape, Tuning
from gpubench.results.machine import IdleGate, Telemetry, Theory

RAISING_BYTES, RAISING_SECONDS = 256 << 20, 0.3
"""A GPU takes some tens of milliseconds to raise its clocks, and seconds to lower them."""


class Skipped(Exception):
    """The device or its runtime cannot do a benchmark, which is no error; the message says why."""


class RunContext:
    """The state of one run, handed to each benchmark in turn; ``progress`` is the current one's.

    ``raise_if_cancelled`` raises ``Cancelled`` if the run is to end; ``on_tuned`` receives each tuning;
    ``on_build_failed`` makes the error of a program that does not compile.
    """

    progress: ProgressReporter

    def __init__(
        self,
        device: Device,
        memory: StatedMemory | None = None,
        read: ReadSource = read_source,
        *,
        raise_if_cancelled: Callable[[], None] = lambda: None,
        on_tuned: Callable[[Tuning], None] = lambda tuning: None,
        on_build_failed: OnBuildFailed | None = None,
    ) -> None:
        self.device = device
        self.profile = profile_for(device.info, under_windows=host.is_wsl())
        self.raise_if_cancelled = raise_if_cancelled
        self.tuned = on_tuned
        self.programs = Programs(device, read, on_build_failed)
        self.arena = Arena(device, partial(_touch, device, self.programs, self.raise_if_cancelled))
        self.theory: Theory | None = theory_for_device(device.info, memory)
        # Memory that a client states may not raise the peak that the device itself reports.
        peaks = [t.peak_bytes_per_second for t in (self.theory, theory_for_device(device.info)) if t]
        self.peak_bytes_per_second = min(peaks, default=None)
        self.free_bytes = device.free_bytes()
        self.shapes: dict[tuple[object, ...], Shape] = {}
        """The access shapes that tuning found, by what they were tuned for."""
        self.before: IdleGate | None = None
        """Whether the device was idle before the run."""
        self.samples_left = MAX_SAMPLES
        """How many the current benchmark may still take."""
        self._data_verified = False
        self._tick_seconds: float | None = None
        self._begin = time.monotonic()
        self._watched: list[Telemetry] = []
        self.huge_page_ratio: float | None = None
        """Of the memory that was measured when it was last watched."""
        self.warm = False
        """Whether the device has been busy long enough to run at its usual clock."""

    def begin(self, progress: ProgressReporter) -> None:
        """Start the next benchmark."""
        self.progress = progress
        self.samples_left = MAX_SAMPLES

    def samples_each(self, figures: int) -> int:
        """The most samples for each of ``figures`` points, so that parts to come get as many as this one."""
        return max(1, self.samples_left // (self.progress.parts_left * max(figures, 1)))

    def warm_up(self, operations: Sequence[Operation]) -> WarmUp:
        """Run passes until their time and the clock are steady; shorter if the device was busy already."""
        if self.warm:
            limit, window = BUSY_LIMIT_SECONDS, self.profile.warm_window_seconds
        else:
            limit, window = COLD_LIMIT_SECONDS, WINDOW_SECONDS
        done = warm_up(
            self.device,
            operations,
            limit,
            self.raise_if_cancelled,
            window_seconds=max(window, self.clock_sample_seconds),
            tick_seconds=self._tick_seconds or 0.0,
        )
        self.warm = True
        return done

    def raise_clocks(self) -> None:
        """Keep the device busy for a moment, so that what others do on it is seen at a benchmark's clocks."""
        with suppress(OutOfDeviceMemory):
            memory = self.device.allocate(whole_pages(min(RAISING_BYTES, self.free_bytes // 8)))
            begin = time.monotonic()
            try:
                while time.monotonic() - begin < RAISING_SECONDS:
                    _touch(self.device, self.programs, self.raise_if_cancelled, memory)
            finally:
                memory.release()

    def verify_data(self) -> None:
        """Once in a run, in both widths; raises ``BenchmarkFailed`` if the host computes other data."""
        if not self._data_verified:
            for dtype in ELEMENT_BYTES:
                verify_device_data(self.device, self.programs, dtype)
            self._data_verified = True

    def verify_clock(self) -> None:
        """Once in a run; raises ``BenchmarkFailed`` if the device's clock does not keep time."""
        if self._tick_seconds is None:
            self._tick_seconds = verify_device_clock(self.device, self.programs, self.raise_if_cancelled)

    @property
    def clock_sample_seconds(self) -> float:
        """So long that the tick of the device's clock does not show in a sample."""
        return TICKS_PER_SAMPLE * (self._tick_seconds or 0.0)

    @property
    def min_sample_seconds(self) -> float:
        """Of a sample that makes a figure."""
        return max(self.profile.min_sample_seconds, self.clock_sample_seconds)

    def pass_seconds(self, operations: Sequence[Operation]) -> float:
        """Of one pass, from as many as the clock needs to tell it."""
        return pass_seconds(self.device, operations, self._tick_seconds or 0.0)

    @property
    def telemetry(self) -> Telemetry:
        """Of the run so far."""
        return msgspec.structs.replace(merge(self._watched), before=self.before)

    @property
    def last_watched(self) -> Telemetry:
        """What the last ``watching`` saw."""
        return self._watched[-1]

    def footprint_bytes(self, asked: int | None) -> int:
        """What the user asked for, or as much as keeps caches out."""
        info = self.device.info
        return asked or required_footprint_bytes(
            info.kind, info.last_level_cache_bytes, self.free_bytes, self.peak_bytes_per_second
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record telemetry for the time of a block; it is in ``last_watched`` afterwards."""
        begin = time.monotonic() - self._begin
        watch = self.device.watch()
        try:
            yield
        finally:
            telemetry = since(begin, watch.stop())
            self._watched.append(msgspec.structs.replace(telemetry, before=self.before))
            self.huge_page_ratio = self.arena.huge_page_ratio

    def run(self, operations: Sequence[Operation]) -> float:
        """One by one, so that the run can be cancelled between them; the sum of their seconds."""
        seconds = 0.0
        for operation in operations:
            self.raise_if_cancelled()
            seconds += self.device.run([operation])
        return seconds


def whole_memory_bytes(context: RunContext, parameters: dict[str, Any]) -> int:
    """The footprint or the share that the user asked for, else the profile's share, up to its maximum; of a
    share, at most what a run may use of this device.

    The share is of memory that was free before the run and still is.
    """
    if parameters["footprint_bytes"]:
        return int(parameters["footprint_bytes"])
    asked, most = parameters["memory_share_ratio"], context.profile.max_default_memory_bytes
    share = min(asked or context.profile.memory_share_ratio, context.profile.max_memory_share_ratio)
    free = int(min(context.free_bytes, context.device.free_bytes() + context.arena.nbytes) * share)
    return free if asked or most is None else min(free, max(most, context.footprint_bytes(None)))


@contextmanager
def taken_memory(context: RunContext, nbytes: int, step_bytes: int) -> Iterator[list[Allocation]]:
    """Up to ``nbytes`` in allocations of a step or more, every byte of it written once.

    Raises ``OutOfDeviceMemory`` if there is not one step. If the profile keeps whole memory, they stay
    with the arena for the next benchmark.
    """
    try:
        yield context.arena.take(nbytes, step_bytes)
    finally:
        if not context.profile.keeps_whole_memory:
            context.arena.release()


def _touch(
    device: Device, programs: Programs, raise_if_cancelled: Callable[[], None], allocation: Allocation
) -> None:
    """Write every byte of it."""
    grid = helper_grid(device.info)
    poison = programs.verify("double", grid.group_size).kernel("poison")
    for offset, nbytes in parts(allocation.nbytes, profile_of(device.info.kind).untimed_launch_bytes):
        raise_if_cancelled()
        arguments = (allocation.view(offset, nbytes), nbytes // 8)
        device.run([Launch(poison, grid.groups, grid.group_size, arguments)])
