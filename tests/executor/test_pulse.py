"""A worker that is stopped or stuck is found by its silence; one at work is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec
import pytest

from gpubench.benchmarks.plan import plan
from gpubench.errors import DeadlineExceeded, DeviceLost
from gpubench.executor.messages import Alive, Run
from gpubench.executor.pulse import Pulse
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.requests import BenchmarkRequest
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now
from tests.measure.conftest import MIB, PINNED
from tests.running import PATIENCE_SECONDS, state, within

pytestmark = pytest.mark.timing

LIMITS = {"stopped_seconds": 0.5, "stuck_seconds": 1.0}
LONG = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 300, "target_ratio": 0.0001, **PINNED}

HANGS = "import ctypes; print(flush=True); ctypes.PyDLL(None).pause()"
"""No Python code runs, and no processor time is used."""
COMPUTES = "print(flush=True); 7 ** 10**9"
"""No Python code runs either: one operation keeps the interpreter's lock for minutes, computing."""


@contextlib.contextmanager
def running(program: str) -> Iterator[subprocess.Popen[str]]:
    """From its first line on."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def lost_within(process: subprocess.Popen[str], seconds: float) -> DeviceLost | None:
    """What an owner that looks often finds out about a process that says nothing."""
    pulse, pause = Pulse(**LIMITS), threading.Event()
    found: list[DeviceLost] = []

    def look() -> bool:
        pause.wait(0.05)
        lost = pulse.lost(process.pid)
        found.extend([lost] if lost else [])
        return bool(found)

    within(seconds, look)
    return found[0] if found else None


def test_a_stopped_process_is_found() -> None:
    with running(HANGS) as process:
        process.send_signal(signal.SIGSTOP)
        assert within(PATIENCE_SECONDS, lambda: state(process.pid) == "T")
        lost = lost_within(process, PATIENCE_SECONDS)
    assert lost is not None
    assert ("SIGSTOP" in lost.message, lost.retryable) == (True, True)


def test_a_process_that_hangs_is_found() -> None:
    with running(HANGS) as process:
        lost = lost_within(process, PATIENCE_SECONDS)
    assert lost is not None
    assert ("used no processor time" in lost.message, lost.retryable) == (True, False)


def test_a_process_that_computes_is_at_work() -> None:
    with running(COMPUTES) as process:
        assert lost_within(process, 2.5) is None
        assert process.poll() is None


def test_a_process_that_has_ended_is_not_given_up() -> None:
    with running("print()") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert lost_within(process, 1.5) is None


_OWNER = """
import subprocess, sys, time
from gpubench.executor.pulse import Pulse

child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pulse = Pulse(1.6, 1.6)
begin, found = time.monotonic(), []
print(child.pid, flush=True)  # from now on it may be stopped
while time.monotonic() - begin < 3.0:
    time.sleep(0.05)
    found.append(pulse.lost(child.pid))
child.kill()
print([each for each in found if each])
"""


def test_a_pause_of_worker_and_owner_is_not_silence() -> None:
    """As by a job scheduler, or a laptop that is closed: longer than the time after which one is given up."""
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        os.kill(child, signal.SIGSTOP)
        owner.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            owner.wait(2.5)
        os.kill(child, signal.SIGCONT)
        owner.send_signal(signal.SIGCONT)
        assert owner.stdout.read() == "[]\n"


_WAITS = """
import signal, socket, sys
import msgspec
from gpubench.executor.messages import Probe
from gpubench.executor.worker_main import _Owner

ours, theirs = socket.socketpair()
owner = _Owner(theirs)
ours.sendall(msgspec.json.encode(Probe([])) + b"\\n")
assert next(owner.commands()) == Probe([])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.sigtimedwait([signal.SIGUSR1], 1.5)
sys.stdout.buffer.write(ours.recv(65536))
"""


def test_a_call_that_lets_python_run_stops_no_beat() -> None:
    """The thread that executes waits in the system, as for a device; another one sends the signs of life."""
    command = [sys.executable, "-c", _WAITS]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=True)
    beats = [msgspec.json.decode(line, type=Alive) for line in done.stdout.splitlines()]
    assert len(beats) >= 2


def test_a_stopped_worker_ends_its_run_within_seconds(worker: WorkerProcess, device_id: str) -> None:
    """And then itself, in order: killing a process that uses a GPU has frozen GPUs."""

    def stop(progress: Progress) -> None:
        if progress.phase == "measuring":
            os.kill(worker.pid, signal.SIGSTOP)

    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    work = Run(device_id, plan([BenchmarkRequest("triad", LONG)]))
    request = StopRequest()
    never = threading.Timer(PATIENCE_SECONDS, request.set, [DeadlineExceeded("it was not found")])
    never.start()
    document = supervise(worker, work, recorder, request, stop)
    never.cancel()
    assert document.outcome == "device_lost"
    assert "SIGSTOP" in str(document.error and document.error.message)
    assert worker._process.wait(PATIENCE_SECONDS) == 0
