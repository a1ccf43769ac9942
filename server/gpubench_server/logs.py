"""The log, written by its own thread: the service goes on even if nobody reads the log any more."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from logging.handlers import QueueHandler
from typing import TextIO

from gpubench_server.log_context import fields_of
from gpubench_server.log_formats import FORMATS, LogLine

_MAX_WAITING = 10_000
"""Log records; further ones are dropped."""


class Log(QueueHandler):
    """The root logger's handler: accepts records without ever waiting for ``stream``."""

    queue: queue.Queue[logging.LogRecord | None]

    def __init__(self, stream: TextIO, level: str, form: str = "text") -> None:
        super().__init__(queue.Queue(_MAX_WAITING))
        self._writer = logging.StreamHandler(stream)
        self._writer.setFormatter(FORMATS[form]())
        self._thread = threading.Thread(target=self._write, daemon=True, name="log")
        self._thread.start()
        root = logging.getLogger()
        root.setLevel(level)
        root.addHandler(self)

    def prepare(self, record: logging.LogRecord) -> LogLine:
        """In the thread that logs: only there it is known what the line is about."""
        return LogLine(record, fields_of(record))

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)

    def end(self, timeout_seconds: float) -> bool:
        """Write what is waiting; false if nobody reads it in time."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _write(self) -> None:
        while (record := self.queue.get()) is not None:
            with contextlib.suppress(Exception):  # one record that cannot be written does not end the log
                self._writer.handle(record)
