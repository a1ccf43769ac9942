"""The gateway's log: written at once and without a thread, because a process with threads must not fork."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Iterator

from gpubench_server.log_context import fields_of
from gpubench_server.log_formats import FORMATS, LogLine

_SHORT = 300
"""Characters of a message and of a traceback: each takes at most six bytes in JSON, and a line must fit."""


class DirectHandler(logging.Handler):
    """Writes each record in one piece; none while nobody reads, so that the gateway never waits for its log.

    Only the parent writes, so that what ``poll`` says stays true until the write.
    """

    def __init__(self, descriptor: int, form: str = "text") -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.setFormatter(FORMATS[form]())

    def emit(self, record: logging.LogRecord) -> None:
        made = LogLine(record, fields_of(record))
        line = self.format(made).encode()
        if len(line) >= select.PIPE_BUF:
            made.shorten(_SHORT)
            line = self.format(made).encode()
        line = line[: select.PIPE_BUF - 1] + b"\n"
        with contextlib.suppress(OSError):
            if self._poll.poll(0):
                os.write(self._descriptor, line)


@contextlib.contextmanager
def logging_to(descriptor: int, level: str, form: str = "text") -> Iterator[None]:
    root, handler = logging.getLogger(), DirectHandler(descriptor, form)
    root.setLevel(level)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def log_nothing() -> None:
    """In a child: its parent logs what it reports. Whoever takes the child over cannot write to the log."""
    logging.getLogger().handlers.clear()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if nothing >= 3:
        os.close(nothing)
