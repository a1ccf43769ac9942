"""What a command reports on stderr: as a plain line, or in the log if every line of it must be JSON."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Mapping

log = logging.getLogger("gpubench_server")

Announce = Callable[[str, int], None]
"""Takes the line, and its level in the log."""


def say(line: str) -> None:
    """A line on stderr."""
    with contextlib.suppress(OSError):  # the service goes on if the disk of its stderr is full
        sys.stderr.write(f"gpubench-server: {line}\n")
        sys.stderr.flush()


def _print(line: str, level: int) -> None:
    say(line)


def _log(line: str, level: int) -> None:
    log.log(level, "%s", line)


ANNOUNCE: Mapping[str, Announce] = {"text": _print, "json": _log}
"""By the format of the log."""
