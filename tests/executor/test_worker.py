"""A real worker process: it measures, is cancelled, dies, hangs; the owner keeps what was reported."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gpubench.benchmarks.plan import plan
from gpubench.errors import Cancelled, DeadlineExceeded, DeviceLost
from gpubench.executor.messages import Progressed, Run
from gpubench.executor.probe import probe
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import CANCEL_GRACE_SECONDS, StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.framing import LineBuffer
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now
from tests.measure.conftest import MIB, PINNED
from tests.running import PATIENCE_SECONDS

QUICK = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 0.05, **PINNED}
LONG = {**QUICK, "time_limit_seconds": 300, "target_ratio": 0.0001}


def run(device_id: str, *benchmarks: tuple[str, dict[str, object]]) -> Run:
    return Run(device_id, plan([BenchmarkRequest(name, parameters) for name, parameters in benchmarks]))


def recorder() -> Recorder:
    return Recorder("run-1", key=None, created_at=now(), requested=[])


class Begun:
    """Sets ``event`` at the first progress of a measurement."""

    def __init__(self, benchmark: str) -> None:
        self._benchmark = benchmark
        self.event = threading.Event()

    def __call__(self, progress: Progress) -> None:
        if progress.phase == "measuring" and progress.benchmark == self._benchmark:
            self.event.set()


def execute_until(
    worker: WorkerProcess, command: Run, benchmark: str, act: object, stop: StopRequest
) -> tuple[RunDocument, float]:
    """Execute on a thread and call ``act`` once ``benchmark`` is being measured; the seconds from then on."""
    begun = Begun(benchmark)
    done: list[RunDocument] = []
    thread = threading.Thread(target=lambda: done.append(supervise(worker, command, recorder(), stop, begun)))
    thread.start()
    assert begun.event.wait(60)
    begin = time.monotonic()
    act()  # type: ignore[operator]
    thread.join(60)
    return done[0], time.monotonic() - begin


def test_a_run_gives_its_document(worker: WorkerProcess, device_id: str) -> None:
    changes: list[int] = []
    document = supervise(
        worker,
        run(device_id, ("copy", QUICK), ("read", QUICK)),
        recorder(),
        StopRequest(),
        lambda progress: None,
        lambda partial: changes.append(len(partial.measurements)),
    )
    assert document.outcome == "ok"
    assert document.error is None
    assert [m.benchmark for m in document.measurements] == ["copy", "read"]
    assert changes == [0, 1, 2]  # 0: once the device is known
    assert document.device and document.device.id == device_id
    assert document.environment and len(document.environment.kernel_source_hash) == 64
    assert document.created_at <= (document.started_at or "") <= (document.finished_at or "")


def test_a_worker_serves_one_run_after_another(worker: WorkerProcess, device_id: str) -> None:
    pids = set()
    for _ in range(2):
        assert (
            supervise(
                worker, run(device_id, ("read", QUICK)), recorder(), StopRequest(), lambda p: None
            ).outcome
            == "ok"
        )
        pids.add(worker.pid)
    assert len(pids) == 1


@pytest.mark.timing
def test_a_cancel_keeps_finished_results_and_the_worker(worker: WorkerProcess, device_id: str) -> None:
    stop = StopRequest()
    command = run(device_id, ("copy", QUICK), ("triad", LONG))
    document, seconds = execute_until(worker, command, "triad", lambda: stop.set(Cancelled("no more")), stop)
    assert document.outcome == "cancelled"
    assert document.error and document.error.message == "no more"
    assert [m.benchmark for m in document.measurements] == ["copy"]
    assert seconds < 1
    assert worker.alive
    assert (
        supervise(worker, run(device_id, ("read", QUICK)), recorder(), StopRequest(), lambda p: None).outcome
        == "ok"
    )


def test_a_cancel_right_after_its_run_takes_effect(device_id: str) -> None:
    """Also in a worker that is still starting: it does not have to be ended."""
    worker, stop = WorkerProcess(), StopRequest()
    stop.set(Cancelled("changed my mind"))
    document = supervise(worker, run(device_id, ("triad", LONG)), recorder(), stop, lambda p: None)
    assert document.outcome == "cancelled"
    assert worker.alive
    worker.end()


def test_a_killed_worker_is_a_lost_device(worker: WorkerProcess, device_id: str) -> None:
    command = run(device_id, ("copy", QUICK), ("triad", LONG))
    document, _ = execute_until(
        worker, command, "triad", lambda: os.kill(worker.pid, signal.SIGKILL), StopRequest()
    )
    assert document.outcome == "device_lost"
    assert document.error and document.error.kind == "device_lost"
    assert "SIGKILL" in document.error.message
    assert [m.benchmark for m in document.measurements] == ["copy"]
    assert not worker.alive


@pytest.fixture
def peer(worker: WorkerProcess) -> Iterator[socket.socket]:
    """Our own end of the worker's connection, in the place of the worker's."""
    worker._socket.close()
    worker._socket, theirs = socket.socketpair()
    with theirs:
        yield theirs


@pytest.mark.parametrize("line", [b"no JSON\n", b'{"type":"unknown"}\n', b'{"type":"tuned","x":"\xff"}\n'])
def test_an_invalid_message_is_a_lost_device(worker: WorkerProcess, peer: socket.socket, line: bytes) -> None:
    peer.sendall(line)
    with pytest.raises(DeviceLost, match="invalid message"):
        worker.receive(PATIENCE_SECONDS)


def test_an_endless_message_is_a_lost_device(
    worker: WorkerProcess, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_lines", LineBuffer(1000))
    peer.sendall(b"x" * 1000)
    with pytest.raises(DeviceLost, match="longer than 1000 bytes"):
        worker.receive(PATIENCE_SECONDS)


def test_messages_arrive_whole_however_they_are_split(worker: WorkerProcess, peer: socket.socket) -> None:
    events = [
        Progressed(Progress(phase="measuring", done_ratio=0.0, message="x" * size)) for size in (0, 3000)
    ]
    data = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    for at in range(0, len(data), 37):
        peer.sendall(data[at : at + 37])
    assert [worker.receive(PATIENCE_SECONDS) for _ in events] == events
    assert worker.receive(0.0) is None


@pytest.mark.timing
def test_a_worker_that_hangs_is_ended(worker: WorkerProcess, device_id: str) -> None:
    """Stopped, as by a driver call that never returns: it cannot receive the cancel."""
    stop = StopRequest()

    def hang() -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        stop.set(DeadlineExceeded("the deadline of the run has passed"))

    document, seconds = execute_until(worker, run(device_id, ("triad", LONG)), "triad", hang, stop)
    assert document.outcome == "timeout"
    assert seconds < CANCEL_GRACE_SECONDS + 6
    assert not worker.alive


def test_a_run_over_memory_fails_and_the_next_one_works(worker: WorkerProcess, device_id: str) -> None:
    too_much = run(device_id, ("copy", {"footprint_bytes": 1 << 46}))
    document = supervise(worker, too_much, recorder(), StopRequest(), lambda p: None)
    assert document.outcome == "failed"
    assert document.error and document.error.kind == "out_of_device_memory"
    assert (
        supervise(worker, run(device_id, ("read", QUICK)), recorder(), StopRequest(), lambda p: None).outcome
        == "ok"
    )


def test_an_unknown_device_is_an_error(worker: WorkerProcess) -> None:
    document = supervise(
        worker, run("opencl:none:7", ("copy", QUICK)), recorder(), StopRequest(), lambda p: None
    )
    assert document.outcome == "failed"
    assert document.error and document.error.kind == "no_such_device"
    assert "opencl:pocl:0" in document.error.message


def test_a_worker_ends_with_its_owner(device_id: str) -> None:
    worker = WorkerProcess()
    worker.end(grace_seconds=20)
    assert not worker.alive
    assert worker._process.returncode == 0


def test_a_runtime_that_is_missing_is_listed_with_the_reason() -> None:
    probed = probe(["cuda", "opencl"])
    statuses = {status.name: status for status in probed.runtimes}
    assert statuses["opencl"].available
    if not statuses["cuda"].available:
        assert statuses["cuda"].reason
    assert any(device.runtime == "opencl" for device in probed.devices)


def test_the_points_of_a_curve_are_one_change(worker: WorkerProcess, device_id: str) -> None:
    """The server stores the whole document at each change: 256 times for 256 points would be too often."""
    changes: list[int] = []
    planned = run(
        device_id, ("map", {"slices": 16, "rounds": 3, "footprint_bytes": 4 * MIB}), ("read", QUICK)
    )
    document = supervise(
        worker,
        planned,
        recorder(),
        StopRequest(),
        lambda progress: None,
        lambda changed: changes.append(len(changed.measurements)),
    )
    assert document.outcome == "ok"
    assert changes[-1] == len(document.measurements) == 17
    assert changes == sorted(set(changes))
    assert len(changes) <= 4


def test_files_in_the_current_folder_shadow_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker started in /tmp must not run files that others have put there."""
    for name in ("queue", "numpy", "gpubench"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert [each.available for each in probe(["opencl"]).runtimes] == [True]
