"""The command line as it is run: a process with two streams and an exit code."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO

from tests.running import PATIENCE_SECONDS, PINNED, children_of, default_signals

GPUBENCH = [sys.executable, "-m", "gpubench_client.cli"]

PIN = [f"--set={name}={str(value).lower()}" for name, value in PINNED.items()]
QUICK = [*PIN, "--footprint=16MiB", "--time-limit=0.2"]
"""About half a second for each benchmark."""

LONG = [*PIN, "--footprint=64MiB", "--time-limit=60", "--set=target_ratio=0.0001"]
"""A minute, so that a test has time to intervene."""

TWO = [*LONG, "--time-limit=2"]
"""Short enough that the first of two finishes, long enough to intervene during the second."""

ESCAPE = "\x1b"
COLOR = re.compile(r"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")


CHANGING = ("GPUBENCH_SERVER", "GPUBENCH_BASELINE", "NO_COLOR", "FORCE_COLOR")


@functools.cache
def _data_directory() -> tempfile.TemporaryDirectory[str]:
    """Local runs of tests are kept here, and not in the tester's own directory."""
    return tempfile.TemporaryDirectory(prefix="gpubench-tests-")


def environment(**changes: str) -> dict[str, str]:
    """This process's, without variables that change what a command does."""
    own = {k: v for k, v in os.environ.items() if k not in CHANGING}
    return {**own, "GPUBENCH_DATA_DIR": _data_directory().name, **changes}


def gpubench(*arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GPUBENCH, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(**changes),
        check=False,
    )


class Running:
    """A command that is still running; tests wait for its lines on stderr."""

    def __init__(
        self, *arguments: str, prepare: Callable[[], None] = default_signals, **changes: str
    ) -> None:
        self.process = subprocess.Popen(
            [*GPUBENCH, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**changes),
            preexec_fn=prepare,
        )
        self.lines: list[str] = []

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, words: str) -> str:
        """Wait for a line on stderr that contains ``words``."""
        for line in _lines(self.process.stderr):
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"never wrote {words!r}: {self.lines}")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """The exit code, all of stdout, and the rest of stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def children(self) -> list[int]:
        """Its child processes that are alive."""
        return children_of(self.process.pid)


def _lines(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
