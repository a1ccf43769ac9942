"""What signals do to ``gpubench run`` and ``gpubench watch``; ``gpubench.signals`` has the table."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from signal import Signals
from types import FrameType
from typing import Any

from gpubench.errors import Cancelled
from gpubench.executor.supervisor import StopRequest
from gpubench.signals import HANDLED, SIGNALS, Reaction, handle
from gpubench_client.cli.progress import NoDisplay, ProgressDisplay


class Ended(KeyboardInterrupt):
    """A signal ended the run, whose finished measurements are delivered, or the watching of one."""

    def __init__(self, number: Signals) -> None:
        super().__init__(how_ended(number))
        self.number = number


def how_ended(number: Signals) -> str:
    """``interrupted`` for ^C, else ``ended by SIGTERM``."""
    return "interrupted" if number is Signals.SIGINT else f"ended by {number.name}"


class RunSignals:
    """While entered, handles signals; the first that cancels sets ``stop``, or without one raises ``Ended``.

    Handlers run between any two steps of the program: they may write to a descriptor or set a flag, but
    must not take a lock.
    """

    def __init__(self, stop: StopRequest | None) -> None:
        self.received: Signals | None = None
        """The signal that cancelled the run."""
        self._stop = stop
        self._display: ProgressDisplay = NoDisplay()
        self._stopped: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._before: dict[Signals, Any] = {}

    def __enter__(self) -> RunSignals:
        for number, row in SIGNALS.items():
            if row.client in HANDLED:
                self._before[number] = signal.getsignal(number)
                handle(number, self._suspend if row.client is Reaction.SUSPEND else self._cancel)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def during(
        self, display: ProgressDisplay, stopped: Callable[[], AbstractContextManager[None]]
    ) -> Iterator[None]:
        """While inside, the run goes on: ``display`` shows it, and ``stopped`` is entered around a stop."""
        self._display, self._stopped = display, stopped
        try:
            yield
        finally:
            self._display, self._stopped = NoDisplay(), contextlib.nullcontext

    def _cancel(self, received: int, frame: FrameType | None) -> None:
        number = Signals(received)
        if self._stop is None:
            raise Ended(number)
        if self.received is None:
            self.received = number
            self._stop.set(Cancelled(how_ended(number)))
            self._display.cancelling()
        elif SIGNALS[number].client is Reaction.CANCEL_THEN_LEAVE:
            # The others are repeated by shells and by `timeout`, without anybody being impatient.
            raise KeyboardInterrupt

    def _suspend(self, received: int, frame: FrameType | None) -> None:
        ours = signal.signal(received, signal.SIG_DFL)
        self._display.suspend()
        try:
            with self._stopped():
                signal.raise_signal(received)  # returns at SIGCONT
        finally:
            self._display.resume()
            signal.signal(received, ours)
