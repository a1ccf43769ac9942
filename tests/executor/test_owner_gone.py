"""A worker never outlives its owner, however the owner ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.executor.messages import Probe
from gpubench.executor.worker_process import WorkerProcess
from gpubench.signals import IGNORED_BY_WORKER
from tests.running import of_session, state, within

PATIENCE_SECONDS = 30.0


@pytest.mark.parametrize("unread", [False, True])
def test_a_worker_ends_with_its_owner(unread: bool) -> None:
    worker = WorkerProcess()
    worker.send(Probe(runtimes=["opencl"]))
    # An owner that closes with unread events resets the connection: an error, not an end of file.
    assert select.select([worker._socket], [], [], PATIENCE_SECONDS)[0]
    if not unread:
        assert worker.receive(PATIENCE_SECONDS) is not None
    worker.release()
    assert worker._process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("number", sorted(IGNORED_BY_WORKER - {signal.SIGPIPE, signal.SIGXFSZ}))
def test_a_signal_to_all_does_not_end_a_worker_that_starts(number: signal.Signals) -> None:
    worker = WorkerProcess()
    worker.signal(number)
    worker.send(Probe(runtimes=["opencl"]))
    try:
        assert worker.receive(PATIENCE_SECONDS) is not None
        worker.signal(number)
        worker.send(Probe(runtimes=["opencl"]))
        assert worker.receive(PATIENCE_SECONDS) is not None
    finally:
        worker.end()


_OWNER = """
import signal
from gpubench.executor.messages import Probe
from gpubench.executor.worker_process import WorkerProcess

worker = WorkerProcess()
worker.send(Probe(runtimes=[]))
worker.receive(60.0)
worker.signal(signal.SIGSTOP)
print(worker.pid, flush=True)
signal.pause()
"""


_FORKS_SLOWLY = """
import os, time

fork = os.fork

def forks_slowly():
    process = fork()
    if process == 0:
        time.sleep(0.5)
    return process

os.fork = forks_slowly
"""
"""Like a busy machine: a new process is not executed at once."""


@pytest.mark.parametrize("site", ["", _FORKS_SLOWLY], ids=["idle machine", "busy machine"])
def test_a_stopped_worker_ends_with_its_owner(site: str, tmp_path: Path) -> None:
    """As after ^Z and `kill -9`: it must not keep the device's memory. Nor may its watchdog stay."""
    (tmp_path / "sitecustomize.py").write_text(site)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert owner.stdout is not None
    worker = int(owner.stdout.readline())
    assert within(PATIENCE_SECONDS, lambda: state(worker) == "T")
    watched = os.pidfd_open(worker)
    owner.kill()
    owner.communicate()
    try:
        assert select.select([watched], [], [], PATIENCE_SECONDS)[0]
        assert within(PATIENCE_SECONDS, lambda: not of_session(worker))
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(watched, signal.SIGKILL)
        os.close(watched)


_PROGRAM = """
import ctypes, signal
from gpubench.executor.watchdog import end_if_blocked

end_if_blocked(1.0)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
{call}
"""
_BLOCKS = "ctypes.PyDLL(None).pause()"
"""Like a driver call that hangs: no other Python thread can run."""
_WAITS = "signal.sigtimedwait([signal.SIGUSR1], 3.0)"


@pytest.mark.timing
@pytest.mark.parametrize(("call", "code"), [(_BLOCKS, -signal.SIGALRM), (_WAITS, 0)])
def test_a_call_that_blocks_all_threads_ends_the_process(call: str, code: int) -> None:
    program = [sys.executable, "-c", _PROGRAM.format(call=call)]
    assert subprocess.run(program, check=False, timeout=PATIENCE_SECONDS).returncode == code


_GOES_ON = """
import sys, time
from gpubench.executor.running_time import RunningTime
from gpubench.executor.watchdog import end_if_blocked

end_if_blocked(1.0)
running = RunningTime()
until = time.monotonic() + float(sys.argv[1]) + 2.0  # a watchdog that counts the pause fires meanwhile
print("begun", flush=True)
while time.monotonic() < until:
    time.sleep(0.05)
    running.seconds
print(running.seconds)
"""


@pytest.mark.timing
def test_a_pause_is_not_a_hang() -> None:
    """Stopped for three times as long as it may be blocked, as by a job scheduler or a closed laptop."""
    pause_seconds = 3.0
    program = [sys.executable, "-c", _GOES_ON, str(pause_seconds)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(pause_seconds)
        process.send_signal(signal.SIGCONT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert float(process.stdout.read()) < pause_seconds


def test_the_watchdog_ends_with_the_process_that_it_watches() -> None:
    """It holds the process's output until then, so that the output ends only if it does."""
    program = [sys.executable, "-c", "from gpubench.executor.watchdog import *; end_if_blocked(); print(1)"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stdout) == (0, "1\n")
