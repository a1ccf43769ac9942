"""What looks at nearly all memory, on the stand-in for CUDA's driver: its kernels as CUDA C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpubench.benchmarks.integrity.patterns import PATTERNS
from gpubench.benchmarks.plan import plan
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.timestamps import now
from tests.devices.test_cuda import DEVICE, MIB, PINNED


def measure(worker: WorkerProcess, name: str, **parameters: Any) -> RunDocument:
    run = Run(DEVICE, plan([BenchmarkRequest(name, {"time_limit_seconds": 0.05, **parameters})]))
    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    return supervise(worker, run, recorder, StopRequest(), lambda progress: None)


def test_patterns_are_written_turned_and_checked(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "integrity", footprint_bytes=5 * MIB // 2, pause_seconds=0.0)
    assert document.outcome == "ok", document.error
    assert [m.axes["pattern"] for m in document.measurements] == list(PATTERNS)
    assert all(m.verified and m.footprint_bytes == 5 * MIB // 2 for m in document.measurements)
    assert [(f.name, f.value) for f in document.findings] == [("errors", 0)]


def test_slices_are_mapped(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "map", footprint_bytes=4 * MIB, slices=8, rounds=3, **PINNED)
    assert document.outcome == "ok", document.error
    # Eight would be smaller than four of the stand-in's L2 of 256 KiB.
    assert [m.axes["slice"] for m in document.measurements] == list(range(4))
    assert all(m.verified for m in document.measurements)


def test_windows_are_sustained(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "sustained", footprint_bytes=2 * MIB, **PINNED)
    assert document.outcome == "ok", document.error
    assert len(document.measurements) == 10
    assert all(m.verified for m in document.measurements)
