"""The server as the first process of a container: signals reach it, and orphans are reaped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import PATIENCE_SECONDS, children_of, default_signals, leads_session, within

ADOPTING = """
import ctypes, os, signal, sys, time
from pathlib import Path
from gpubench_server.process_one import split

PR_SET_CHILD_SUBREAPER = 36  # orphans come here, as they come to process 1
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
code = split()
if code is not None:
    sys.exit(code)
"""


@contextlib.contextmanager
def start(program: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Process 1 whose child performs ``program``; both have a session of their own, and end with the test."""
    with subprocess.Popen(
        [sys.executable, "-c", ADOPTING + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
        preexec_fn=leads_session(None),
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_orphans_are_reaped_and_the_child_is_not() -> None:
    """The server waits for its own children itself; those of others are reaped once they end."""
    program = """
        import subprocess
        own = subprocess.Popen(["sh", "-c", "exit 7"])
        shell = subprocess.run(["sh", "-c", "sleep 0.1 >&- 2>&- & echo $!"], capture_output=True, text=True)
        orphan = Path("/proc", shell.stdout.strip())
        until = time.monotonic() + 30
        while orphan.exists() and time.monotonic() < until:
            time.sleep(0.01)
        print(orphan.exists(), own.wait(), flush=True)
        sys.exit(5)
    """
    with start(program) as process:
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == "False 7\n"
    assert process.returncode == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    program = """
        def stop(number, frame):
            os.write(1, b"%d\\n" % number)  # print could be in the middle of a line
            sys.exit(0)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(each, stop)
        print("ready", flush=True)
        while True:
            signal.pause()
    """
    with start(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == f"{int(number)}\n"
    assert process.returncode == 0


def test_a_child_that_is_killed_gives_the_shell_s_code() -> None:
    with start("os.kill(os.getpid(), signal.SIGKILL)") as process:
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGKILL


def test_the_service_manager_means_the_child() -> None:
    """It knows process 1 alone: sockets and the watchdog are for the server all the same."""
    program = """
        own = str(os.getpid())
        print(*(os.environ[name] == own for name in ("LISTEN_PID", "WATCHDOG_PID")), os.environ["OTHER_PID"])
    """
    with start(program, LISTEN_PID="1", WATCHDOG_PID="1", OTHER_PID="1") as process:
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == "True True 1\n"


APART = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")


def may_unshare() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="this user may not make a process 1")
def test_the_server_is_process_1_and_ends_in_order(tmp_path: Path) -> None:
    addresses = tmp_path / "addresses.json"
    command = [
        *(*APART, sys.executable, "-m", "gpubench_server", "--config", os.devnull, "--runtime", "opencl"),
        *("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")),
        *("--address-file", str(addresses)),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=default_signals) as unshare:
        try:
            assert within(PATIENCE_SECONDS, addresses.exists)
            (first,) = children_of(unshare.pid)
            status = Path(f"/proc/{first}/status").read_text()
            assert re.search(r"^NSpid:\t.*\t1$", status, re.M)
            assert len(children_of(first)) == 1
            os.kill(first, signal.SIGTERM)
            assert unshare.wait(PATIENCE_SECONDS) == 0
        finally:
            unshare.kill()
    assert not addresses.exists()
