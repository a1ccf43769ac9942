"""A limit on this process that was met is one line that names it, in client, server and worker."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gpubench.devices.process_limits import limit_in, limit_reached

GPUBENCH = [sys.executable, "-m", "gpubench_client.cli"]
SERVER = [sys.executable, "-m", "gpubench_server", "--listen=tcp://127.0.0.1:0", "--http=127.0.0.1:0"]


def limited(limit: str, *command: str) -> str:
    """The only line on stderr of a command that must fail under a limit of the shell's ``ulimit``."""
    return only_line("sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command)


def only_line(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("files", [6, 8, 10])
@pytest.mark.parametrize("command", [("devices",), ("run", "copy")])
def test_a_client_names_the_limit_on_open_files(files: int, command: tuple[str, ...]) -> None:
    line = limited(f"-n {files}", *GPUBENCH, *command)
    assert line.startswith("gpubench: a process may not open more than")
    assert f"{files} files here (ulimit -n)" in line


def test_a_server_names_the_limit_on_open_files(tmp_path: Path) -> None:
    line = limited("-n 8", *SERVER, "--data-dir", str(tmp_path))
    assert line.startswith("gpubench-server: ")
    assert "8 files here (ulimit -n)" in line


@pytest.fixture
def few_processes() -> Iterator[list[str]]:
    """A shell that starts a command in a control group with five processes, if groups can be made here."""
    for root, limit in ((Path("/sys/fs/cgroup/pids"), "pids.max"), (Path("/sys/fs/cgroup"), "pids.max")):
        group = root / f"gpubench-test-{uuid4().hex}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text("5")
                enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
                yield ["sh", "-c", enter, "sh"]
                return
            finally:
                group.rmdir()
    pytest.skip("no control group can be made here")


def test_a_limit_of_five_processes_is_named(few_processes: list[str]) -> None:
    """The workers start and find that they cannot go on."""
    line = only_line(*few_processes, *GPUBENCH, "run", "copy")
    assert "the worker process ended with exit code 1: no further process or thread may be started" in line
    assert "5 in the control group (pids.max)" in line
    assert "Traceback" not in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, ""), "ulimit -n"),
        (OSError(errno.ENFILE, ""), "fs.file-max"),
        (BlockingIOError(errno.EAGAIN, ""), "no further process"),
        (RuntimeError("can't start new thread"), "no further process"),
        (OSError(errno.ENOSPC, ""), "the disk is full"),
        (OSError(errno.EDQUOT, ""), "quota"),
        (OSError(errno.EFBIG, ""), "ulimit -f"),
        (MemoryError(), "no memory left"),
    ],
)
def test_each_limit_has_a_remedy(error: Exception, said: str) -> None:
    reached = limit_reached(error)
    assert reached is not None
    assert said in reached.message
    if isinstance(error, OSError) and error.errno != errno.EAGAIN:
        assert limit_in(f"open: {os.strerror(error.errno or 0)}") == reached.message


@pytest.mark.parametrize("error", [OSError(errno.EACCES, ""), RuntimeError("a bug"), ValueError("a bug")])
def test_other_errors_are_no_limits(error: Exception) -> None:
    assert limit_reached(error) is None
    assert limit_in(str(error)) is None
