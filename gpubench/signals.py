"""What each signal does: to the client during ``gpubench run``, to the server, and to a worker process.

All three install their handlers from this one table, and docs/what-happens.md shows it. A signal that was
ignored when a program started, as by ``nohup`` or for a job in the background of a script, stays so.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from enum import Enum
from signal import Signals
from types import FrameType
from typing import NamedTuple


class Reaction(Enum):
    """The value is its text in the documentation."""

    DEFAULT = "ends at once"
    IGNORE = "ignored"
    CANCEL = "cancels the run: what was measured is written and shown, exit code 128 + the signal's number"
    CANCEL_THEN_LEAVE = (
        "cancels the run as SIGTERM does, exit code 130; a second one exits at once, without a document"
    )
    SUSPEND = "shows the cursor and stops, and its worker with it; both go on at SIGCONT (`fg`)"
    STOP = "stops until SIGCONT; its worker measures on until its messages fill the connection"
    DRAIN = "drains: no new runs, current ones end; a second one cancels them"
    DRAIN_WITHOUT_TERMINAL = (
        "drains, if it was started on a terminal, which is gone now; else it reads its certificate and its "
        "tokens again"
    )
    WATCHDOG = "ends at once: its watchdog, after 300 s in which a driver's call let no Python code run"


class Row(NamedTuple):
    sent: str
    client: Reaction
    server: Reaction
    worker: Reaction


SIGNALS: Mapping[Signals, Row] = {
    Signals.SIGINT: Row("by ^C", Reaction.CANCEL_THEN_LEAVE, Reaction.DRAIN, Reaction.IGNORE),
    Signals.SIGTERM: Row(
        "by `kill`, `timeout`, systemd, Slurm (to every process of the service or job)",
        Reaction.CANCEL,
        Reaction.DRAIN,
        Reaction.IGNORE,
    ),
    Signals.SIGHUP: Row(
        "when the terminal is closed or ssh drops",
        Reaction.CANCEL,
        Reaction.DRAIN_WITHOUT_TERMINAL,
        Reaction.IGNORE,
    ),
    Signals.SIGTSTP: Row("by ^Z", Reaction.SUSPEND, Reaction.STOP, Reaction.IGNORE),
    Signals.SIGQUIT: Row("by ^\\", Reaction.DEFAULT, Reaction.DEFAULT, Reaction.DEFAULT),
    Signals.SIGPIPE: Row(
        "when nobody reads what is written", Reaction.IGNORE, Reaction.IGNORE, Reaction.IGNORE
    ),
    Signals.SIGXFSZ: Row(
        "when a file would exceed `ulimit -f`", Reaction.IGNORE, Reaction.IGNORE, Reaction.IGNORE
    ),
    Signals.SIGALRM: Row("by a timer", Reaction.DEFAULT, Reaction.DEFAULT, Reaction.WATCHDOG),
}
"""Every other signal has the system's default."""

HANDLED = frozenset(Reaction) - {Reaction.DEFAULT, Reaction.IGNORE, Reaction.STOP, Reaction.WATCHDOG}
"""Reactions that a handler of ours performs; the others are the system's, or Python's from the start."""

IGNORED_BY_WORKER = frozenset(number for number, row in SIGNALS.items() if row.worker is Reaction.IGNORE)
"""They reach whole groups of processes. A worker ends at its owner's request or with it, not before."""

Handler = Callable[[int, FrameType | None], None]


def handle(number: Signals, handler: Handler) -> None:
    """Install ``handler``, unless the signal is ignored: then whoever started the program wants it so."""
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handler)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose end would send it SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
