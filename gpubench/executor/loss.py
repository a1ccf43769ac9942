"""Why a worker process ended, what helps, and whether trying again can."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass

from gpubench.devices.control_group import ControlGroup, machine_out_of_memory_kills
from gpubench.devices.process_limits import limit_in, named
from gpubench.errors import DeviceLost
from gpubench.executor.watchdog import BLOCKED_SECONDS
from gpubench.units import format_bytes

CRASHES = frozenset(
    (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
)
"""Signals by which a process ends itself, as drivers and compilers do when a cache is damaged."""

_GROUP = ControlGroup()
_SAID_LINES, _SAID_CHARACTERS = 3, 400

_REMEDIES = {
    signal.SIGALRM: (
        f"its watchdog: a call into the driver had not returned for {BLOCKED_SECONDS:g} s; if that happens "
        "again, restart the driver or the machine"
    ),
    signal.SIGXCPU: "the limit on processor time (ulimit -t): raise it",
    signal.SIGSYS: "a sandbox (seccomp) that forbids one of its system calls: allow it, or run outside",
}
"""What ended it, by the signal, where the next run would meet the same."""


@dataclass(frozen=True)
class Counters:
    """What the kernel had counted when the worker process started."""

    group_kills: int
    machine_kills: int
    refused_processes: int

    @classmethod
    def now(cls) -> Counters:
        return cls(_GROUP.out_of_memory_kills or 0, machine_out_of_memory_kills(), _GROUP.refused_processes)


def reason_of(returncode: int | None, before: Counters, output: str) -> DeviceLost:
    """The error for a worker process that ended so; ``output`` is the end of what it printed to stderr."""
    said = [line.strip() for line in output.splitlines() if line.strip()][-_SAID_LINES:]
    last_words = f"; it last printed: {' / '.join(said)[-_SAID_CHARACTERS:]}" if said else ""
    cause = _cause(returncode, before, output)
    if cause is not None:
        return DeviceLost(f"the worker process {cause}", retryable=False)
    return DeviceLost(f"the worker process {_how(returncode)}{last_words}")


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "closed its connection"
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    name = _signal_name(-returncode)
    return (
        f"crashed in the driver or its compiler ({name})"
        if -returncode in CRASHES
        else f"was ended by {name}"
    )


def _cause(returncode: int | None, before: Counters, output: str) -> str | None:
    """The cause if the next run would meet it again, with its remedy; null if there is no sign of one."""
    if not returncode:
        return None
    if returncode == -signal.SIGKILL:
        return _out_of_memory(before)
    if -returncode in _REMEDIES:
        return f"was ended by {_REMEDIES[signal.Signals(-returncode)]}"
    refused = _GROUP.refused_processes > before.refused_processes
    limit = named(errno.EAGAIN) if refused else limit_in(output)
    return f"{_how(returncode)}: {limit}" if limit else None


def _out_of_memory(before: Counters) -> str | None:
    if (_GROUP.out_of_memory_kills or 0) > before.group_kills:
        limit = _GROUP.memory_limit_bytes
        allowed = "" if limit is None else f", which may use {format_bytes(limit)}"
        return (
            f"was ended by the kernel (SIGKILL), because its control group{allowed}, was out of memory: ask "
            "for a smaller --footprint, or raise the group's limit"
        )
    if machine_out_of_memory_kills() > before.machine_kills:
        return (
            "was ended by the kernel (SIGKILL), because the machine was out of memory: ask for a smaller "
            "--footprint, or end other programs"
        )
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
