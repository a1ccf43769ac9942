"""Time limits for other processes that a pause of this one does not use up."""

from __future__ import annotations

import time

MAX_STEP_SECONDS = 0.5


class RunningTime:
    """The seconds in which this process ran, counted from call to call.

    A longer step than ``MAX_STEP_SECONDS`` is a pause, as by a laptop that slept or a scheduler that froze
    all of a job: nobody could have answered meanwhile. So ``seconds`` must be read more often than that.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        now = time.monotonic()
        self._seconds += min(now - self._last, MAX_STEP_SECONDS)
        self._last = now
        return self._seconds
