"""A real device and a session on it: kernels run on the processor, through OpenCL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.devices.base import Device
from gpubench.devices.opencl.runtime import OpenClRuntime
from gpubench.errors import Cancelled
from gpubench.executor.in_process import RecordingReporter
from gpubench.executor.messages import Finished, Run
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
