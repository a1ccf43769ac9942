"""^C: the first cancels and keeps what was finished, the second ends at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from gpubench.errors import Cancelled
from gpubench.executor.supervisor import StopRequest


@contextlib.contextmanager
def cancel_on_interrupt(stop: StopRequest, on_cancel: Callable[[], None]) -> Iterator[None]:
    """While inside, the first ^C sets ``stop``, and the second raises ``KeyboardInterrupt``.

    ``on_cancel`` is called in the signal handler, between any two steps of the program: it may
    write to a descriptor or set a flag, but must not take a lock.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set(Cancelled("interrupted"))
        on_cancel()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
