"""What a worker process and its owner say to each other, one JSON object per line.

The owner (the server's scheduler, or the command line) sends commands; the worker answers with
events. The owner keeps what it was told, so that a worker that dies takes nothing finished along.
"""

from __future__ import annotations

import msgspec

from gpubench.requests import PlannedBenchmark, StatedMemory
from gpubench.results.document import ErrorInfo, Finding, Measurement, Tuning
from gpubench.results.machine import Clocks, DeviceInfo, Environment, RuntimeStatus, Telemetry, Theory
from gpubench.results.progress import Progress


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    pass


class Probe(_Message, frozen=True):
    """List the devices of these runtimes."""

    runtimes: list[str]


class Run(_Message, frozen=True):
    """Measure these on this device. The run ends with ``Finished``."""

    device: str
    benchmarks: list[PlannedBenchmark]
    memory: StatedMemory | None = None


class Cancel(_Message, frozen=True):
    """End the run in progress; what is finished is kept."""


Command = Probe | Run | Cancel


class Probed(_Message, frozen=True):
    """``failed`` names the runtimes whose worker gave no answer: they may work at the next look."""

    devices: list[DeviceInfo]
    runtimes: list[RuntimeStatus]
    failed: list[str] = msgspec.field(default_factory=list)


class Started(_Message, frozen=True):
    device: DeviceInfo
    environment: Environment
    theory: Theory | None
    explanations: dict[str, str] = msgspec.field(default_factory=dict)


class Progressed(_Message, frozen=True):
    progress: Progress


class Tuned(_Message, frozen=True):
    tuning: Tuning


class Measured(_Message, frozen=True):
    measurement: Measurement


class Found(_Message, frozen=True):
    finding: Finding


class Finished(_Message, frozen=True):
    """The run is over; ``error`` where the run as a whole failed."""

    clocks_after: Clocks
    telemetry: Telemetry
    cancelled: bool = False
    error: ErrorInfo | None = None


Event = Probed | Started | Progressed | Tuned | Measured | Found | Finished
