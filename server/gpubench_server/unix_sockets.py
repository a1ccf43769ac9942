"""Unix sockets: their files, and who may use them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpubench.errors import CannotListen

CREDENTIALS = struct.Struct("3i")
"""``struct ucred`` of Linux: process, user, group."""

_SIGNATURE = "gpubench-server"

_Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True)
class UnixAccess:
    """Who may use the Unix sockets: those whom the file's ``mode`` lets in, and of them, if ``uids`` or
    ``gateway_uids`` are given, only these, root and the server's own user.

    ``gateway_uids`` speak for other people, and so have no rights of their own: what comes from them needs a
    token, also if they are root or the server's own user.
    """

    mode: int = 0o600
    uids: frozenset[int] | None = None
    gateway_uids: frozenset[int] = frozenset()

    def admits(self, uid: int) -> bool:
        if self.uids is None and not self.gateway_uids:
            return True
        return uid in (self.uids or ()) or uid in self.gateway_uids or self.administers(uid)

    @staticmethod
    def administers(uid: int) -> bool:
        return uid in (0, os.geteuid())


def peer_uid(connection: socket.socket) -> int:
    """The user who connected, as the system knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(credentials)[1])


def credentials_uid(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    """The user who sent a datagram, of what came with it; None if the system did not say."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) == CREDENTIALS.size:
            return int(CREDENTIALS.unpack(data)[1])
    return None


class SocketFile:
    """The file of one Unix socket, held from its construction to ``remove``.

    A lock file beside it, ``PATH.lock``, keeps other servers away and records which socket is ours, so the
    socket of a killed server is replaced, and that of another program is not. The lock file stays: if it
    were removed, two servers could lock two files of the same name. Raises ``CannotListen``.
    """

    def __init__(self, path: Path, kind: socket.SocketKind) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._bound: _Identity | None = None
        with contextlib.ExitStack() as undo, self._explained():
            self._lock = _open_lock(undo, self._lock_path)
            self._lock_or_explain(self._lock)
            self._remove_stale(kind)
            self._at_end = undo.pop_all()

    def bind(self, listener: socket.socket, mode: int) -> None:
        """Bind a socket to the path with these permissions; raises ``CannotListen``."""
        with self._explained():
            # The file is made with the mode of the socket, less the umask: nobody gets in before it is right.
            os.fchmod(listener.fileno(), mode)
            listener.bind(str(self._path))
            try:
                self._path.chmod(mode)
                self._bound = _identity(self._path)
                _write_record(self._lock, self._bound)
            except BaseException:
                self._path.unlink(missing_ok=True)
                raise

    def remove(self) -> None:
        """Remove the socket, if it is still ours; nothing the second time."""
        with self._at_end, contextlib.suppress(OSError):
            bound, self._bound = self._bound, None
            if bound is not None and _identity(self._path) == bound:
                self._path.unlink()

    def _lock_or_explain(self, lock: int) -> None:
        if not _is_lock_file(lock):
            raise CannotListen(
                f"{self._lock_path} exists, and is not a lock file of gpubench-server; remove it, or choose "
                "another path for the socket"
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotListen(
                f"unix://{self._path} is in use by another gpubench-server (process {_record(lock)[0]}); "
                "stop that one, or choose another path"
            ) from None

    def _remove_stale(self, kind: socket.SocketKind) -> None:
        """Remove the socket that a killed server left; raises ``CannotListen`` for anything else there."""
        found = _identity(self._path)
        if found is None:
            return
        if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
            state = "is not a socket"
        elif _is_live(self._path, kind):
            state = "another program listens on it"
        elif found != _record(self._lock)[1:]:
            state = "is a socket that another program left"
        else:
            self._path.unlink()
            return
        raise CannotListen(
            f"unix://{self._path}: the file exists and {state}; remove it, or choose another path"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotListen(
                f"cannot listen on unix://{self._path}: {error.strerror}; its directory must exist, and the "
                "server must be allowed to make files there"
            ) from None


def _identity(of: Path | int) -> _Identity | None:
    try:
        found = os.fstat(of) if isinstance(of, int) else os.lstat(of)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _open_lock(undo: contextlib.ExitStack, path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    undo.callback(os.close, lock)
    return lock


def _write_record(lock: int, bound: _Identity | None) -> None:
    device, inode = bound or (0, 0)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{_SIGNATURE} {os.getpid()} {device} {inode}\n".encode(), 0)


def _record(lock: int) -> tuple[int, int, int]:
    """The server that wrote a lock file, and the device and the inode of its socket; zeros if unknown."""
    words = os.pread(lock, 200, 0).split()
    if len(words) == 4 and all(word.isdigit() for word in words[1:]):
        return int(words[1]), int(words[2]), int(words[3])
    return 0, 0, 0


def _is_lock_file(lock: int) -> bool:
    content = os.pread(lock, 200, 0)
    return not content or content.startswith(_SIGNATURE.encode())


def _is_live(path: Path, kind: socket.SocketKind) -> bool:
    """Whether any program has the socket open, as far as can be said without asking it anything."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) != errno.ECONNREFUSED
