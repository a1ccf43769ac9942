"""Runs on a device of this very process, for what is set beside something else."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.benchmarks.plan import plan
from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Device
from gpubench.executor.messages import Event, Measured, Run, Tuned
from gpubench.executor.run_executor import RunExecutor
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import candidates, chunk_bytes
from gpubench.measure.tuning import best, try_shapes
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement, Shape, Tuning


class Quiet:
    """A reporter that keeps what was measured and tuned."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.tunings: list[Tuning] = []

    def raise_if_cancelled(self) -> None: ...
    def send(self, event: Event) -> None:
        if isinstance(event, Measured):
            self.measurements.append(event.measurement)
        elif isinstance(event, Tuned):
            self.tunings.append(event.tuning)


def run(device: Device, requests: Sequence[BenchmarkRequest | str]) -> Quiet:
    quiet = Quiet()
    RunExecutor(device, quiet).run(Run(device.info.id, plan(requests)))
    return quiet


def rate(measurement: Measurement) -> float:
    """Median byte/s of one that must have a figure."""
    assert measurement.bandwidth_bytes_per_second, measurement.reason
    return measurement.bandwidth_bytes_per_second.median


def tuned(
    device: Device, programs: Programs, arena: Arena, name: str, footprint_bytes: int
) -> tuple[StreamTask, Shape]:
    """A stream benchmark over so much of the arena, filled, and the access shape that a run would choose."""
    row = STREAM[name]
    shapes = candidates(device.info, row.access, "double", {})
    segments = arena.cut(footprint_bytes, row.arrays, ELEMENT_BYTES["double"], max(map(chunk_bytes, shapes)))
    task = StreamTask(device, programs, row, "double", segments, seed=1)
    task.fill()
    return task, best(try_shapes(device, task, shapes, lambda: None, lambda part: None))
