"""Runs on a device of this very process, for what is set beside something else."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.benchmarks.plan import plan
from gpubench.devices.base import Device
from gpubench.measure.session import Session
from gpubench.protocol.messages import BenchmarkRequest, Progress
from gpubench.results.document import Finding, Measurement, Tuning
from gpubench.worker.messages import Run, Started


class Quiet:
    """A reporter that keeps what was measured and tuned."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.tunings: list[Tuning] = []

    def check(self) -> None: ...
    def started(self, event: Started) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def tuned(self, tuning: Tuning) -> None:
        self.tunings.append(tuning)

    def measured(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def found(self, finding: Finding) -> None: ...


def run(device: Device, requests: Sequence[BenchmarkRequest | str]) -> Quiet:
    quiet = Quiet()
    Session(device, quiet).run(Run(device.info.id, plan(requests)))
    return quiet


def rate(measurement: Measurement) -> float:
    """Median byte/s of one that must have a figure."""
    assert measurement.bandwidth_bytes_per_second, measurement.reason
    return measurement.bandwidth_bytes_per_second.median
