"""What ends the server: signals, of which ``gpubench.signals`` has the table, and its own failure."""

from __future__ import annotations

import contextlib
import logging
import queue
from collections.abc import Callable
from enum import Enum, auto
from signal import Signals
from types import FrameType

from gpubench.errors import InternalError
from gpubench.signals import HANDLED, SIGNALS, Reaction, handle, has_terminal

log = logging.getLogger(__name__)

_WAKE_SECONDS = 0.5
"""A signal that arrives between the interpreter's last check and the wait for a lock does not end the wait:
its handler runs when the main thread runs next."""


class _Asked(Enum):
    DRAIN = auto()


class ServerSignals:
    """The signals that the server has received, a request to drain, and the failure of a thread that serves
    every client."""

    def __init__(self) -> None:
        self._received: queue.SimpleQueue[Signals | InternalError | _Asked] = queue.SimpleQueue()
        self._terminal = has_terminal()

    def install(self) -> None:
        """Handle the signals from now on; only in the main thread."""
        for number, row in SIGNALS.items():
            if row.server in HANDLED:
                handle(number, self.take)

    def fail(self, failure: InternalError) -> None:
        """End the server: ``wait_for_drain`` or ``asks_to_cancel`` raises this."""
        self._received.put(failure)

    def drain(self) -> None:
        """End the server as the first SIGTERM does; further calls do nothing."""
        self._received.put(_Asked.DRAIN)

    def wait_for_drain(self, reload: Callable[[], None]) -> None:
        """Until the first signal that drains the server; others ``reload`` what can be changed meanwhile.

        Raises the ``InternalError`` of ``fail``.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                number = _signal(self._received.get(timeout=_WAKE_SECONDS))
                if number is _Asked.DRAIN:
                    return
                if SIGNALS[number].server is Reaction.DRAIN or self._terminal:
                    return
                log.info(
                    "%s: reading certificate and tokens again; to change settings, restart the server",
                    number.name,
                )
                reload()

    def asks_to_cancel(self) -> bool:
        """Whether a further signal asks to cancel the runs; SIGHUP, which shells repeat, does not.

        Raises the ``InternalError`` of ``fail``.
        """
        while not self._received.empty():
            number = _signal(self._received.get())
            if number is not _Asked.DRAIN and SIGNALS[number].server is Reaction.DRAIN:
                return True
        return False

    def take(self, number: int, frame: FrameType | None = None) -> None:
        # Nothing else: it may interrupt any step of the main thread, which may hold any lock.
        self._received.put(Signals(number))


def _signal(received: Signals | InternalError | _Asked) -> Signals | _Asked:
    if isinstance(received, InternalError):
        log.critical("%s: the server stops", received)
        raise received
    return received
