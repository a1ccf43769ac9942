"""What every benchmark of a run works with: the device, its memory and programs, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from gpubench.catalog.theory import theory_for_device
from gpubench.devices.base import Allocation, Device, Launch, Operation
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.kernels.source import ReadSource, read_source
from gpubench.measure.annotate import merge, since
from gpubench.measure.memory import PART_BYTES, Arena, parts
from gpubench.measure.progress import ProgressReporter
from gpubench.measure.sampling import (
    BUSY_LIMIT_SECONDS,
    BUSY_WINDOW_SECONDS,
    COLD_LIMIT_SECONDS,
    MIN_SAMPLE_SECONDS,
    WarmUp,
    warm_up,
)
from gpubench.measure.shapes import helper_grid
from gpubench.measure.validity import required_footprint_bytes
from gpubench.measure.verification.device_data import check_data
from gpubench.requests import StatedMemory
from gpubench.results.document import Shape, Tuning
from gpubench.results.machine import IdleGate, Telemetry, Theory

TIME_LIMIT_SECONDS = {"cpu": 2.0, "gpu": 1.0, "accelerator": 1.0}
"""Of sampling one figure; a curve's points get ``POINT_LIMIT_SECONDS`` each."""

POINT_LIMIT_SECONDS = {"cpu": 0.5, "gpu": 0.15, "accelerator": 0.15}

MEMORY_SHARE_RATIO = {"cpu": 0.25, "gpu": 0.9, "accelerator": 0.9}
"""Of free memory, where nobody asks for another share: a processor's belongs to other programs too."""

ENOUGH_BYTES = 2 << 30
"""Of a processor's memory, where nobody asks for a share: first touched it comes at 0.5 GB/s on virtual
machines, and a server's would take minutes. More where its caches need more to be kept out."""

MAX_SAMPLES = 20_000
"""Of a benchmark, all its figures together, so that a document with 64 of them stays one that is taken."""


class Skipped(Exception):
    """This device or runtime cannot do a benchmark; the message says why. No fault of anybody's."""


class RunContext:
    """The state of one run, handed to each benchmark in turn; ``progress`` is the current one's.

    ``raise_if_cancelled`` raises ``Cancelled`` if the run is to end; ``on_tuned`` receives each tuning.
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
    ) -> None:
        self.device = device
        self.raise_if_cancelled = raise_if_cancelled
        self.tuned = on_tuned
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

    @property
    def on_processor(self) -> bool:
        return self.device.info.kind == "cpu"

    @property
    def sample_seconds(self) -> float:
        """Of a sample, or more."""
        return MIN_SAMPLE_SECONDS[self.device.info.kind]

    def warm_up(self, operations: Sequence[Operation]) -> WarmUp:
        """Run passes until the device has its pace; shorter where it has been busy already."""
        if not self.warm:
            done = warm_up(self.device, operations, COLD_LIMIT_SECONDS, self.raise_if_cancelled)
        elif self.on_processor:
            done = warm_up(self.device, operations, BUSY_LIMIT_SECONDS, self.raise_if_cancelled)
        else:
            done = warm_up(
                self.device, operations, BUSY_LIMIT_SECONDS, self.raise_if_cancelled, BUSY_WINDOW_SECONDS
            )
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
        return asked or POINT_LIMIT_SECONDS[self.device.info.kind]

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
    """The footprint or the share asked for, else ``MEMORY_SHARE_RATIO`` of what is free.

    Free is what was so before the run and still is. On a processor ``ENOUGH_BYTES`` is the most.
    """
    if parameters["footprint_bytes"]:
        return int(parameters["footprint_bytes"])
    asked = parameters["memory_share_ratio"]
    share = asked or MEMORY_SHARE_RATIO[context.device.info.kind]
    free = int(min(context.free_bytes, context.device.free_bytes() + context.arena.nbytes) * share)
    enough = max(ENOUGH_BYTES, context.footprint_bytes(None))
    return min(free, enough) if context.on_processor and not asked else free


@contextmanager
def taken_memory(context: RunContext, nbytes: int, step_bytes: int) -> Iterator[list[Allocation]]:
    """Up to ``nbytes`` in allocations of a step or more, every byte of it written once.

    Raises ``OutOfDeviceMemory`` where there is not one step. Afterwards a processor's stay with the
    arena, for the next benchmark that looks at all memory; a GPU's are free for others.
    """
    try:
        yield context.arena.take(nbytes, step_bytes)
    finally:
        if not context.on_processor:
            context.arena.release()


def _touch(
    device: Device, programs: Programs, raise_if_cancelled: Callable[[], None], allocation: Allocation
) -> None:
    """Use every byte of it."""
    grid = helper_grid(device.info)
    poison = programs.verify("double", grid.group_size).kernel("poison")
    for offset, nbytes in parts(allocation.nbytes, PART_BYTES[device.info.kind]):
        raise_if_cancelled()
        arguments = (allocation.view(offset, nbytes), nbytes // 8)
        device.run([Launch(poison, grid.groups, grid.group_size, arguments)])
