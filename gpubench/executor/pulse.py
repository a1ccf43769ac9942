"""Whether a worker process that is silent is at work, stopped, or stuck in a call.

A thread in the worker says that it is alive for as long as a command is executed. A driver call that releases
Python's lock, as waiting for the device does, does not stop that thread, however long it takes. One that
holds the lock does: then processor time is the sign of life, as a driver that compiles or loads uses it.
So this finds a stopped process within seconds, and one that neither runs Python code nor uses the processor
within a minute. It does not find a call that releases the lock and never returns, because a benchmark
may wait for its device for any time: only a deadline, a cancel or the limit of the run ends that.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gpubench.errors import DeviceLost
from gpubench.executor.running_time import RunningTime

BEAT_SECONDS = 0.5
"""Between two signs of life of a worker."""

STOPPED_SECONDS = 3.0
"""A worker is not paused for so long while its owner runs: job schedulers and closed laptops pause both."""

STUCK_SECONDS = 60.0
"""For drivers that take half a minute to load on large machines, and may sleep meanwhile."""

_SILENT_SECONDS = 3 * BEAT_SECONDS
"""Before that the process is not looked at, so that a measurement is not disturbed."""


class Look(NamedTuple):
    """A process: its ``state`` as one letter, and its processor time with that of its children."""

    state: str
    ticks: int


def look_at(process: int) -> Look | None:
    """None if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return Look(fields[0], sum(int(each) for each in fields[11:15]))
    except (OSError, IndexError):
        return None


class Pulse:
    """Judges one worker process by the time since its last sign of life.

    Pauses of the owner do not count, as long as ``lost`` is called more than twice a second.
    """

    def __init__(
        self, stopped_seconds: float = STOPPED_SECONDS, stuck_seconds: float = STUCK_SECONDS
    ) -> None:
        self._stopped_seconds = stopped_seconds
        self._stuck_seconds = stuck_seconds
        self._ticks = 0
        self._silent = RunningTime()

    def beat(self) -> None:
        """The process said something, or was asked for something."""
        self._silent = RunningTime()

    def lost(self, process: int) -> DeviceLost | None:
        """Why the process is to be given up; None while there is hope."""
        silent_seconds = self._silent.seconds
        if silent_seconds < min(_SILENT_SECONDS, self._stopped_seconds):
            return None
        look = look_at(process)
        # One that has ended closes its connection, which says more; one in a debugger is somebody's work.
        if look is None or look.ticks != self._ticks or look.state in "ZXt":
            self._ticks = 0 if look is None else look.ticks
            self.beat()
            return None
        if look.state == "T":
            return _stopped(silent_seconds) if silent_seconds >= self._stopped_seconds else None
        return _stuck(silent_seconds) if silent_seconds >= self._stuck_seconds else None


def _stopped(seconds: float) -> DeviceLost:
    return DeviceLost(
        "the worker process was stopped by a signal such as SIGSTOP, while its owner ran on, and was given "
        f"up after {seconds:.0f} s; find out what stops it"
    )


def _stuck(seconds: float) -> DeviceLost:
    return DeviceLost(
        f"the worker process has run no Python code and used no processor time for {seconds:.0f} s, so it "
        "hangs in a call into the driver; if that happens again, restart the driver or the machine",
        retryable=False,
    )
