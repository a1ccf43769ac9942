"""Names the limit on this process that made a call fail: open files, processes, memory, file size, disk."""

from __future__ import annotations

import errno
import re

from gpubench.devices.control_group import ControlGroup
from gpubench.errors import LimitReached
from gpubench.units import format_bytes

_GROUP = ControlGroup()

_CODES = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EFBIG, errno.ENOSPC, errno.EDQUOT)

_SAID = (
    (errno.EMFILE, r"Too many open files(?! in system)"),
    (errno.ENFILE, r"Too many open files in system"),
    (errno.EAGAIN, r"can't start new thread|Resource temporarily unavailable|pthread_create failed"),
    (errno.EFBIG, r"File too large"),
    (errno.ENOSPC, r"No space left on device"),
    (errno.EDQUOT, r"Disk quota exceeded"),
    (errno.ENOMEM, r"Cannot allocate memory|MemoryError|std::bad_alloc|out of memory"),
)
"""What Python, the C library and compilers print."""


def limit_reached(error: BaseException) -> LimitReached | None:
    """The error to show in place of one that a limit caused; null if it has another cause."""
    if isinstance(error, OSError) and error.errno in _CODES:
        return LimitReached(named(error.errno))
    if isinstance(error, MemoryError):
        return LimitReached(named(errno.ENOMEM))
    return LimitReached(named(errno.EAGAIN)) if "can't start new thread" in str(error) else None


def limit_in(output: str) -> str | None:
    """The limit that a process which ended met, by what it printed; null if it says nothing of one."""
    return next((named(code) for code, pattern in _SAID if re.search(pattern, output)), None)


def named(code: int) -> str:
    """The limit that a call met which failed with this ``errno``, and what to do."""
    match code:
        case errno.EMFILE:
            return (
                f"a process may not open more than {_soft('RLIMIT_NOFILE')} files here (ulimit -n): "
                "raise the limit to 256 or more"
            )
        case errno.ENFILE:
            return "the system's limit on open files is reached (sysctl fs.file-max): raise it"
        case errno.EAGAIN:
            return f"no further process or thread may be started: {_processes()}; raise the limit"
        case errno.EFBIG:
            return f"a file may not grow beyond {_size('RLIMIT_FSIZE')} (ulimit -f): raise the limit"
        case errno.ENOSPC:
            return "the disk is full: make room on it"
        case errno.EDQUOT:
            return "the disk quota is used up: delete files or have it raised"
        case _:
            return f"there is no memory left: {_memory()}"


def _processes() -> str:
    found = []
    limit = _soft("RLIMIT_NPROC")
    if limit is not None:
        found.append(f"{limit} for each user (ulimit -u)")
    if _GROUP.process_limit is not None:
        found.append(f"{_GROUP.process_limit} in the control group (pids.max)")
    return (
        "the limit is " + " and ".join(found)
        if found
        else "the system has no more (sysctl kernel.threads-max)"
    )


def _memory() -> str:
    if _soft("RLIMIT_AS") is not None:
        return f"a process may use {_size('RLIMIT_AS')} of addresses (ulimit -v); raise the limit"
    limit = _GROUP.memory_limit_bytes
    if limit is not None:
        return (
            f"the control group may use {format_bytes(limit)}; raise the limit or ask for a smaller footprint"
        )
    return "end other programs or ask for a smaller footprint"


def _soft(kind: str) -> int | None:
    """Of a limit by its name in the module, which a client under Windows does not have."""
    import resource

    soft, _ = resource.getrlimit(getattr(resource, kind))
    return None if soft == resource.RLIM_INFINITY else soft


def _size(kind: str) -> str:
    limit = _soft(kind)
    return "any size" if limit is None else format_bytes(limit)
