"""The first process of a container, which has two duties that no other process has.

It must reap orphans, and signals without a handler do not reach it. So it starts the server as its child,
forwards signals, and exits with the server's exit code; the server then waits for its own processes only.
"""

from __future__ import annotations

import os
import signal
from signal import Signals

_PASSED_ON = frozenset(
    {Signals.SIGHUP, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGTERM, Signals.SIGUSR1, Signals.SIGUSR2}
)

_OF_THE_SERVER = ("LISTEN_PID", "WATCHDOG_PID")
"""Variables by which a service manager says which process it means."""


def split() -> int | None:
    """Go on as process 1 and as its child: the child gets None at once, process 1 the child's exit code.

    To be called before any thread is started.
    """
    signal.signal(Signals.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, Signals.SIGCHLD})
    child = os.fork()
    if child:
        return _end_with(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    for name in _OF_THE_SERVER:
        if os.environ.get(name) == "1":
            os.environ[name] = str(os.getpid())
    return None


def _end_with(child: int) -> int:
    """Reap and pass on until the child has ended; returns its exit code, as a shell would."""
    while True:
        received = signal.sigwaitinfo({*_PASSED_ON, Signals.SIGCHLD})
        number = Signals(received.si_signo)
        if number is Signals.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code if code >= 0 else 128 - code
        # What a terminal's keys send, the child has received itself: only somebody's kill is passed on.
        elif received.si_code <= 0 or number is Signals.SIGHUP:
            os.kill(child, number)


def _reap(child: int) -> int | None:
    """Reap all that have ended; the child's exit code if it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
