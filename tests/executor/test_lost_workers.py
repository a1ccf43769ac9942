"""A worker that dies costs the benchmark that it measured, not the run; why it died is in the document."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.executor.loss import Counters, reason_of
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_slot import WorkerSlot
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now
from tests.measure.conftest import MIB, PINNED

QUICK = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 0.05, **PINNED}
LONG = {**QUICK, "time_limit_seconds": 300, "target_ratio": 0.0001}
MANY = 10**9


@pytest.fixture
def slot() -> Iterator[WorkerSlot]:
    slot = WorkerSlot()
    yield slot
    slot.end()


def run_killing(slot: WorkerSlot, device_id: str, *benchmarks: tuple[str, dict[str, object]]) -> RunDocument:
    """Each long benchmark's worker is killed once it measures."""
    killed: set[int] = set()
    fatal = {name for name, parameters in benchmarks if parameters is LONG}

    def kill(progress: Progress) -> None:
        pid = slot.worker_for(device_id).pid
        if progress.phase == "measuring" and progress.benchmark in fatal and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    run = Run(device_id, plan([BenchmarkRequest(name, parameters) for name, parameters in benchmarks]))
    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    worker = slot.worker_for(device_id)
    return supervise(worker, run, recorder, StopRequest(), kill, replace=slot.replace)


def statuses(document: RunDocument) -> list[tuple[str, str]]:
    return [(each.benchmark, each.status) for each in document.measurements]


def test_a_death_costs_one_benchmark(slot: WorkerSlot, device_id: str) -> None:
    document = run_killing(slot, device_id, ("copy", QUICK), ("triad", LONG), ("read", QUICK))
    assert statuses(document) == [("copy", "ok"), ("triad", "failed"), ("read", "ok")]
    assert "SIGKILL" in str(document.measurements[1].reason)
    assert document.outcome == "failed"
    assert document.error and document.error.kind == "benchmark_failed"


def test_a_second_death_ends_the_run(slot: WorkerSlot, device_id: str) -> None:
    document = run_killing(slot, device_id, ("copy", LONG), ("triad", LONG), ("read", QUICK))
    assert statuses(document) == [("copy", "failed"), ("triad", "failed")]
    assert document.outcome == "device_lost"


@pytest.mark.parametrize(
    ("returncode", "before", "output", "said", "retryable"),
    [
        (-signal.SIGKILL, Counters(MANY, MANY, MANY), "", "ended by SIGKILL", True),
        (-signal.SIGKILL, Counters(-1, MANY, MANY), "", "its control group", False),
        (-signal.SIGKILL, Counters(MANY, -1, MANY), "", "the machine was out of memory", False),
        (-signal.SIGALRM, Counters(MANY, MANY, MANY), "", "its watchdog", False),
        (
            -signal.SIGABRT,
            Counters(MANY, MANY, MANY),
            "a\nb\nc\nd\n",
            "(SIGABRT); it last printed: b / c / d",
            True,
        ),
        (-signal.SIGABRT, Counters(MANY, MANY, -1), "", "no further process or thread", False),
        (-signal.SIGSEGV, Counters(MANY, MANY, MANY), os.strerror(errno.EMFILE), "ulimit -n", False),
        (1, Counters(MANY, MANY, MANY), "RuntimeError: can't start new thread", "no further process", False),
        (1, Counters(MANY, MANY, MANY), os.strerror(errno.ENOSPC), "the disk is full", False),
        (None, Counters(-1, -1, -1), "", "closed its connection", True),
        (0, Counters(-1, -1, -1), "", "ended with exit code 0", True),
        (-63, Counters(MANY, MANY, MANY), "", "ended by signal 63", True),
    ],
)
def test_the_cause_is_named(
    returncode: int | None, before: Counters, output: str, said: str, retryable: bool
) -> None:
    """A counter that stood below what the kernel counts now has risen since."""
    lost = reason_of(returncode, before, output)
    assert said in lost.message
    assert lost.retryable is retryable
