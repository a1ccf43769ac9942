"""What signals ask of the server; ``gpubench.signals`` has the table."""

from __future__ import annotations

import contextlib
import logging
import queue
from signal import Signals
from types import FrameType

from gpubench.signals import HANDLED, SIGNALS, Reaction, handle, has_terminal

log = logging.getLogger(__name__)

_WAKE_SECONDS = 0.5
"""A signal that arrives between the interpreter's last check and the wait for a lock does not end the wait:
its handler runs when the main thread runs next."""


class ServerSignals:
    """Handles the server's signals from its construction on; made in the main thread."""

    def __init__(self) -> None:
        self._received: queue.SimpleQueue[Signals] = queue.SimpleQueue()
        self._terminal = has_terminal()
        for number, row in SIGNALS.items():
            if row.server in HANDLED:
                handle(number, self._take)

    def wait_for_drain(self) -> None:
        """Until the first signal that drains the server."""
        while True:
            with contextlib.suppress(queue.Empty):
                number = self._received.get(timeout=_WAKE_SECONDS)
                if SIGNALS[number].server is Reaction.DRAIN or self._terminal:
                    return
                log.info("%s: nothing to reload; to change settings, restart the server", number.name)

    def asks_to_cancel(self) -> bool:
        """Whether a further signal asks to cancel the runs; SIGHUP, which shells repeat, does not."""
        while not self._received.empty():
            if SIGNALS[self._received.get()].server is Reaction.DRAIN:
                return True
        return False

    def _take(self, number: int, frame: FrameType | None) -> None:
        # Nothing else: it may interrupt any step of the main thread, which may hold any lock.
        self._received.put(Signals(number))
