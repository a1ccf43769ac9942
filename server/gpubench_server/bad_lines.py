"""Lines that are not valid or not complete in time, for the server's own ports and for its gateway."""

from __future__ import annotations

import time

from gpubench.errors import RequestTimeout

_BURST_SECONDS = 5.0
"""For how long a client may save up lines that are not valid, as a script with a mistake sends them."""


class Pace:
    """When one client's next line may be read: those that are not valid, no faster than at a fixed rate.

    Answering a flood of them would take processor time from everybody else.
    """

    def __init__(self, bad_lines_per_second: float) -> None:
        self._per_second = bad_lines_per_second
        self.reads_at = 0.0
        """Not before; on the monotonic clock."""

    def slowed(self) -> bool:
        """Whether nothing may be read yet."""
        return self.reads_at > 0.0 and self.reads_at > time.monotonic()

    def slow_down(self) -> None:
        """After a line that is not valid."""
        earliest = max(self.reads_at, time.monotonic() - _BURST_SECONDS)
        self.reads_at = earliest + 1 / self._per_second


def incomplete(limit_seconds: float) -> RequestTimeout:
    """For a line without a newline, once its time is over."""
    return RequestTimeout(f"a line was not completed in {limit_seconds:g} s; end each request with a newline")
