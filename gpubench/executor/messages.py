"""The messages between a worker process and its owner, one JSON object per line.

The owner (a server's device queue, or the local client) sends commands; the worker replies with events.
The owner records each event as it arrives, so nothing that was finished is lost if the worker dies.
"""

from __future__ import annotations

import msgspec

from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.requests import PlannedBenchmark, StatedMemory
from gpubench.results.document import ErrorInfo, Finding, Measurement, Tuning
from gpubench.results.machine import Clocks, DeviceInfo, Environment, RuntimeStatus, Telemetry, Theory
from gpubench.results.progress import Progress


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    pass


class Probe(_Message, frozen=True):
    """List the devices of these runtimes; of OpenCL, only of drivers with these ``libraries``, if given."""

    runtimes: list[str]
    libraries: list[str] | None = None


class Run(_Message, frozen=True):
    """Run these benchmarks on this device, from the ``first`` on. The last event is ``Finished``.

    With ``retry_builds``, a program that does not compile ends the run with ``BuildFailed``: the owner tries
    again over an empty cache of compiled kernels. A new worker loads only the OpenCL driver with this
    ``library``, which is the device's. The run may use ``max_memory_share_ratio`` of the free memory.
    """

    device: str
    benchmarks: list[PlannedBenchmark]
    memory: StatedMemory | None = None
    first: int = 0
    retry_builds: bool = False
    library: str | None = None
    max_memory_share_ratio: float = MAX_MEMORY_SHARE_RATIO


class Cancel(_Message, frozen=True):
    """End the run in progress; finished measurements are kept."""


Command = Probe | Run | Cancel


class Probed(_Message, frozen=True):
    """``failed`` names the runtimes whose worker did not answer: the next probe may find them.

    A runtime that lost some of its drivers is not among them if another driver works.
    """

    devices: list[DeviceInfo]
    runtimes: list[RuntimeStatus]
    failed: list[str] = msgspec.field(default_factory=list)


class Started(_Message, frozen=True):
    device: DeviceInfo
    environment: Environment
    theory: Theory | None
    explanations: dict[str, str] = msgspec.field(default_factory=dict)


class Began(_Message, frozen=True):
    """The benchmark with this index begins."""

    index: int


class Progressed(_Message, frozen=True):
    progress: Progress


class Tuned(_Message, frozen=True):
    tuning: Tuning


class Measured(_Message, frozen=True):
    measurement: Measurement


class Found(_Message, frozen=True):
    finding: Finding


class Finished(_Message, frozen=True):
    """The run is over; ``error`` is set if the run as a whole failed."""

    clocks_after: Clocks
    telemetry: Telemetry
    cancelled: bool = False
    error: ErrorInfo | None = None


class Alive(_Message, frozen=True):
    """A sign of life while a command is executed, every ``BEAT_SECONDS``, for ``WorkerProcess`` alone."""


Event = Probed | Started | Began | Progressed | Tuned | Measured | Found | Finished
