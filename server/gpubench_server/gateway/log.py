"""The gateway's log: written at once and without a thread, because a process with threads must not fork."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Iterator

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class DirectHandler(logging.Handler):
    """Writes each record in one piece; none while nobody reads, so that the gateway never waits for its log.

    Only the parent writes, so that what ``poll`` says stays true until the write.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode(errors="backslashreplace")[: select.PIPE_BUF - 1] + b"\n"
        with contextlib.suppress(OSError):
            if self._poll.poll(0):
                os.write(self._descriptor, line)


@contextlib.contextmanager
def logging_to(descriptor: int, level: str) -> Iterator[None]:
    root, handler = logging.getLogger(), DirectHandler(descriptor)
    root.setLevel(level)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def log_nothing() -> None:
    """In a child, whose parent logs what it tells."""
    logging.getLogger().handlers.clear()
