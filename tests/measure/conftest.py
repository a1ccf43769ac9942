"""Runs on a real device, whose kernels run on the processor through OpenCL, and on a simulated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from gpubench.benchmarks.plan import plan
from gpubench.devices import profile
from gpubench.devices.base import Device
from gpubench.devices.opencl.info import find
from gpubench.devices.opencl.runtime import OpenClDevice, OpenClRuntime
from gpubench.errors import Cancelled
from gpubench.executor.in_process import RecordingReporter
from gpubench.executor.messages import Finished, Run
from gpubench.executor.run_executor import RunExecutor
from gpubench.kernels.source import read_source
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.document import Finding, Measurement, Tuning
from gpubench.results.progress import Progress
from tests.simulated import SimulatedDevice

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

GPU_PINNED = {**PINNED, "vector_bytes": 16, "group_size": 256, "order": "grid"}
"""The same for a simulated GPU."""


class Collected(RecordingReporter):
    """Keeps all progress as well, and cancels when ``cancel_when`` says so."""

    def __init__(self, cancel_when: Callable[[Collected], bool] = lambda _: False) -> None:
        self.heard: list[Progress] = []
        super().__init__(on_progress=self.heard.append)
        self._cancel_when = cancel_when

    def raise_if_cancelled(self) -> None:
        if self._cancel_when(self):
            raise Cancelled("the test cancelled")

    @property
    def tunings(self) -> list[Tuning]:
        return self.document.tuning

    @property
    def measurements(self) -> list[Measurement]:
        return self.document.measurements

    @property
    def findings(self) -> list[Finding]:
        return self.document.findings


@pytest.fixture(scope="session")
def device() -> Iterator[Device]:
    runtime = OpenClRuntime()
    opened = runtime.open(runtime.devices()[0].id)
    yield opened
    opened.close()


@pytest.fixture
def change_profile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the processor's profile other values for one test."""

    def change(**values: Any) -> None:
        changed = replace(profile.PROFILES["cpu"], **values)
        monkeypatch.setattr(profile, "PROFILES", {**profile.PROFILES, "cpu": changed})

    return change


@pytest.fixture
def open_as(device: Device) -> Iterator[Callable[..., Device]]:
    """The same hardware, opened once more with other facts about it, such as ``max_allocation_bytes``."""
    with ExitStack() as stack:

        def make(**facts: Any) -> Device:
            [hardware] = [each for each, info in find().devices if info.id == device.info.id]
            opened = OpenClDevice(hardware, msgspec.structs.replace(device.info, **facts))
            return stack.enter_context(closing(opened))

        yield make


@pytest.fixture
def simulated() -> Iterator[SimulatedDevice]:
    """Whatever was measured must have released its memory."""
    device = SimulatedDevice()
    with device.clock.rules():
        yield device
    assert device.allocations == []


Measure = Callable[..., tuple[Finished, Collected]]


def run_on(
    device: Device,
    *names: str,
    faults: tuple[tuple[str, str, str], ...] = (),
    memory: StatedMemory | None = None,
    reporter: Collected | None = None,
    **parameters: Any,
) -> tuple[Finished, Collected]:
    """Run benchmarks in a session of their own; ``faults`` are (file, old, new) in the kernels."""

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


@pytest.fixture
def measure(device: Device) -> Measure:
    return partial(run_on, device)
