"""A command's standard streams: if one is closed, full, or no longer read, the exit code stays right."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO


def with_standard_streams(command: Callable[[], int]) -> int:
    """Run ``command``, and return its exit code; 1 if its answer could not be written to stdout.

    The interpreter's own end would turn what is left unwritten into exit code 120. A reader that has
    had enough (``| head``) is not an error.
    """
    _open_closed()
    replaced = sys.stderr is not sys.__stderr__  # as by a test that captures it
    if not replaced:
        sys.stderr = _unfailing(sys.stderr)
    try:
        code = command()
    except SystemExit as end:  # argparse's
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    reason = flush(sys.stdout)
    if reason is not None and code == 0:
        code = 1
        sys.stderr.write(f"stdout cannot be written: {reason}\n")
    sys.stderr.flush()
    return code


def flush(stream: TextIO) -> str | None:
    """Write what ``stream`` holds; if that fails, return the reason and discard it and all that follows."""
    try:
        stream.flush()
    except BrokenPipeError:
        discard(stream)
    except OSError as error:
        discard(stream)
        return error.strerror
    return None


def discard(stream: TextIO) -> None:
    """Send what ``stream`` holds, and all that is written to it later, to /dev/null."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


class _Unfailing(io.FileIO):
    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def _unfailing(stream: TextIO) -> TextIO:
    """The same stream, on which a write that fails is lost: argparse and libraries do not expect an error."""
    raw = _Unfailing(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=True)


def _open_closed() -> None:
    """Open closed streams (``>&-``) on /dev/null; else the next files opened would take their places.

    Workers inherit them, so that holds for their output too.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
