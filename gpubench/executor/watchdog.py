"""Ends a worker process in which no Python code has run for too long.

A driver call that hangs while it holds the interpreter's lock stops every thread, so the process would not
notice that its owner is gone, and would go on using a core beside all later runs. No thread can watch that,
and an alarm of the kernel's counts the time in which a process is stopped or frozen as well. So a small
process watches, a fork of the worker from before it has threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import threading
import time

from gpubench.executor.pulse import look_at

BLOCKED_SECONDS = 300.0
"""No driver call that is going to return blocks all of Python's threads for this long."""

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

_TICKS = 30
"""The time is counted in so many ticks; a pause of the machine counts as one at most."""


def end_if_blocked(blocked_seconds: float = BLOCKED_SECONDS) -> None:
    """Let SIGALRM end this process once it has run for so long without any Python code.

    To be called while the process has one thread. Raises ``OSError`` if no process can be started.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    watched, tick_seconds = os.getpid(), blocked_seconds / _TICKS
    reading, writing = os.pipe()
    ready, is_ready = os.pipe()
    if os.fork() == 0:
        try:
            continue_without_parent()
            os.closerange(0, reading)  # the owner waits until its socket is closed
            os.closerange(reading + 1, os.sysconf("SC_OPEN_MAX"))
            _watch(watched, reading, tick_seconds)
        finally:
            os._exit(0)
    os.close(reading)
    # Until the other one can be stopped with this process, and is continued when it ends.
    os.close(is_ready)
    os.read(ready, 1)
    os.close(ready)
    os.set_blocking(writing, False)

    def beat() -> None:
        while True:
            try:
                os.write(writing, b".")
            except BlockingIOError:
                pass  # nobody has read for long
            except OSError:
                return  # nobody watches any more
            time.sleep(tick_seconds / 2)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def continue_without_parent() -> None:
    """Have the system continue this process when its parent ends: one that is stopped notices no closed pipe.

    Linux only; elsewhere a process whose parent is killed while both are stopped stays.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))


def _watch(watched: int, heartbeats: int, tick_seconds: float) -> None:
    """Until the watched process ends, which closes the pipe."""
    poll, silent_ticks = select.poll(), 0
    poll.register(heartbeats, select.POLLIN)
    while True:
        if poll.poll(tick_seconds * 1000):
            if not os.read(heartbeats, 1 << 16):
                return
            silent_ticks = 0
        elif not _is_stopped(watched):
            silent_ticks += 1
        if silent_ticks >= _TICKS:
            os.kill(watched, signal.SIGALRM)
            return


def _is_stopped(process: int) -> bool:
    """By a signal or a debugger."""
    look = look_at(process)
    return look is not None and look.state in "Tt"
