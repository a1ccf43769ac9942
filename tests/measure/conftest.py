"""A real device and a session on it: kernels run on the processor, through OpenCL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.devices.base import Device
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.errors import Cancelled
from gpubench.executor.messages import Event, Finished, Found, Measured, Progressed, Run, Started, Tuned
from gpubench.executor.run_executor import RunExecutor
from gpubench.kernels.source import read_source
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.document import Finding, Measurement, Tuning
from gpubench.results.progress import Progress

MIB = 1 << 20
PINNED = {
    "vector_bytes": 32,
    "unroll": 8,
    "group_size": 1,
    "order": "tile",
    "streaming_stores": True,
    "groups": 16,
}
"""All of the shape, so that nothing is tuned."""


@dataclass
class Collected:
    """A reporter that keeps all events, and cancels once ``cancel_when`` is true."""

    cancel_when: Callable[[Collected], bool] = lambda _: False
    events: list[Started] = field(default_factory=list)
    heard: list[Progress] = field(default_factory=list)
    tunings: list[Tuning] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def raise_if_cancelled(self) -> None:
        if self.cancel_when(self):
            raise Cancelled("the test cancelled")

    def send(self, event: Event) -> None:
        match event:
            case Started():
                self.events.append(event)
            case Progressed():
                self.heard.append(event.progress)
            case Tuned():
                self.tunings.append(event.tuning)
            case Measured():
                self.measurements.append(event.measurement)
            case Found():
                self.findings.append(event.finding)


@pytest.fixture(scope="session")
def device() -> Iterator[Device]:
    runtime = OpenClRuntime()
    opened = runtime.open(runtime.devices()[0].id)
    yield opened
    opened.close()


Measure = Callable[..., tuple[Finished, Collected]]


@pytest.fixture
def measure(device: Device) -> Measure:
    """Run benchmarks in a session of their own; ``faults`` are (file, old, new) in the kernels."""

    def run(
        *names: str,
        faults: tuple[tuple[str, str, str], ...] = (),
        memory: StatedMemory | None = None,
        reporter: Collected | None = None,
        **parameters: Any,
    ) -> tuple[Finished, Collected]:
        def read(name: str) -> str:
            text = read_source(name)
            for file, old, new in faults:
                if file == name:
                    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
                    text = text.replace(old, new)
            return text

        given = {"footprint_bytes": 8 * MIB, "time_limit_seconds": 0.05, **parameters}
        planned = plan([BenchmarkRequest(name, given) for name in names])
        collected = reporter or Collected()
        finished = RunExecutor(device, collected, memory, read).run(Run(device.info.id, planned, memory))
        return finished, collected

    return run
