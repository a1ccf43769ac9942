"""What the gateway's processes give up: their user, inspection by others, and most of their resources."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
from dataclasses import dataclass
from pathlib import Path

from gpubench.errors import InternalError, InvalidParameters

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_MORE_MEMORY_BYTES = 256 << 20
"""Above what the parent had mapped when the child was made. A connection takes less than 1 MiB; the rest is
what Python and OpenSSL reserve without using it."""

_CPU_SECONDS = 300
"""A relayed request takes some 0.1 ms, so this is for millions; a child that computes in a loop is ended."""

_DESCRIPTORS = 16
"""The three standard streams, client, server and parent are 6; the rest is for moments."""


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def user_for(name: str | None) -> User | None:
    """The user that the gateway switches to; None if it keeps its own.

    Raises ``InvalidParameters`` as ``known_user`` does, and if root names none.
    """
    own = os.geteuid()
    if name is None:
        if own == 0:
            raise InvalidParameters(
                "the gateway does not serve as root: add --user NAME, a user that owns nothing else, such as "
                "one made by `useradd --system gpubench-gateway`"
            )
        return None
    found = known_user(name)
    if found is None or found.pw_uid == own:
        return None
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return User(found.pw_name, found.pw_uid, found.pw_gid, groups)


def known_user(name: str) -> pwd.struct_passwd | None:
    """The entry of a user; None for this process's own number, which need not have one, as in a container.

    Raises ``InvalidParameters`` for a user that does not exist, for root, and if only root could switch to
    that user.
    """
    own = os.geteuid()
    if name == str(own) and own != 0:
        return None
    try:
        found = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise InvalidParameters(
            f"--user: this machine has no user {name!r}; give an existing name, or a number"
        ) from None
    if found.pw_uid == 0:
        raise InvalidParameters("--user: the gateway does not serve as root; choose a user that owns nothing")
    if own not in (0, found.pw_uid):
        raise InvalidParameters(
            f"--user: only root can become {found.pw_name}; start the gateway as root, or as that user"
        )
    return found


def become(user: User) -> None:
    """For good: the groups first, because the right to change them goes with the user."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise InternalError(f"the gateway became {user.name}, and could become root again")


def confine() -> None:
    """No other process of the same user may read this one's memory, which holds the key and clients' tokens;
    a crash leaves no copy of it on disk, and no program that is started gets more rights."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if prctl(option, value, 0, 0, 0) != 0:
            error = os.strerror(ctypes.get_errno())
            raise InternalError(f"the gateway could not give up its privileges (prctl {option}): {error}")


def cap_resources() -> None:
    """Of a child, which cannot raise them again."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory_bytes = pages * resource.getpagesize() + _MORE_MEMORY_BYTES
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0),  # it writes no file
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # it starts no process and no thread
    ):
        _, hard = resource.getrlimit(kind)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))
