"""Whether the service still serves: judged by what every client needs, for systemd to restart it if not.

A worker that hangs is no reason to restart: it is given up, at the run's limit at the latest, and the next
run gets a new one. A run that has outlasted that limit is one: then the server has failed to end it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from gpubench_server.scheduler import Scheduler

log = logging.getLogger(__name__)

_LOOP_SECONDS = 10.0
"""An accept loop comes round ten times a second."""

_LOCK_SECONDS = 5.0
"""The scheduler's lock is held for microseconds."""

_OVERDUE_SECONDS = 60.0
"""To end a run takes less than 10 s, also if its worker must be killed."""


class Loop(Protocol):
    """A server that notes each turn of its loop, on the monotonic clock."""

    @property
    def turned_at(self) -> float: ...


class Watchdog:
    """``loops`` are those that should be running now."""

    def __init__(self, loops: Callable[[], Iterable[Loop]], scheduler: Scheduler) -> None:
        self._loops = loops
        self._scheduler = scheduler

    @property
    def problem(self) -> str | None:
        """Why the service should be restarted; None if it serves. Takes seconds if it does not."""
        now = time.monotonic()
        late = [now - loop.turned_at for loop in self._loops() if now - loop.turned_at > _LOOP_SECONDS]
        if late:
            return f"an accept loop has not come round for {max(late):.0f} s"
        return self._scheduler.stuck(_LOCK_SECONDS, _OVERDUE_SECONDS)

    def run(self, interval_seconds: float, alive: Callable[[], None]) -> None:
        """Call ``alive`` in each interval in which there is no problem; never returns."""
        before: str | None = None
        while True:
            problem = self.problem
            if problem is None:
                alive()
            elif problem != before:
                log.critical("the watchdog of systemd is not notified: %s", problem)
            before = problem
            time.sleep(interval_seconds)
