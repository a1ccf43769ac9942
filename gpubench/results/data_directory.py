"""The data directory: locked for one process, and watched for being removed or replaced under it."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gpubench import systems
from gpubench.errors import StoreError

log = logging.getLogger(__name__)

LOCK_NAME = "gpubench.lock"

_ROOM_BYTES = 64 * 1024
"""That must be free: a run that is accepted takes a few KiB, its document can be stored later."""

_LOOK_SECONDS = 0.02

_Identity = tuple[int, int]
"""Device and inode."""


class HeldDirectory:
    """A directory that this process has locked; the locks end with the process, however it ends.

    The directory itself is locked, so that removing the lock file lets no second process in, and so is a
    file in it, which names the owner. Some network file systems cannot lock a directory; there the file
    alone counts. ``wait_seconds`` is how long another process may keep it locked meanwhile. Raises
    ``StoreError`` if the directory cannot be used, or another process has it locked then, and
    ``MissingDependency`` elsewhere than under Linux.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
        systems.require_linux()
        self.path = path
        self._until = time.monotonic() + wait_seconds
        self._watched: dict[Path, _Identity] = {}
        with contextlib.ExitStack() as undo:
            with self._explained():
                path.mkdir(parents=True, exist_ok=True)
                self._directory = _open(undo, path, os.O_RDONLY | os.O_DIRECTORY)
                self._file = _open(undo, path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            self._directory_locked = self._lock(self._directory, needed=False)
            self._lock(self._file, needed=True)
            _write_owner(self._file)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._directory)

    def watch(self, *paths: Path) -> None:
        """Files that the process holds open: ``check`` fails once a path leads to another file."""
        for path in paths:
            identity = _identity(path)
            if identity is not None:
                self._watched[path] = identity

    def check(self) -> None:
        """Raises ``StoreError`` if what is written now would not be found in the directory later."""
        if _identity(self.path) != _identity(self._directory):
            raise StoreError(
                f"the data directory {self.path} was removed, renamed or replaced while the server was "
                "using it; move it back, or restart the server"
            )
        lost = [path for path, identity in self._watched.items() if _identity(path) != identity]
        if lost:
            raise StoreError(
                f"{lost[0]} was removed or replaced while the server was using it; restart the server"
            )
        if _identity(self.path / LOCK_NAME) != _identity(self._file):
            self._make_lock_file()

    def check_room(self) -> None:
        """Raises ``StoreError`` if nothing can be written: the disk is full, or read-only."""
        try:
            # The file has no name, and is deleted before the system has written it to the disk.
            with tempfile.TemporaryFile(dir=self.path) as file:
                file.write(bytes(_ROOM_BYTES))
                file.flush()
        except OSError as error:
            raise StoreError(
                f"nothing can be written into the data directory {self.path}: {error.strerror}"
            ) from None

    def _make_lock_file(self) -> None:
        """The lock file was removed, as cleaners of temporary folders do: put one back."""
        if not self._directory_locked:
            raise StoreError(
                f"the lock file {self.path / LOCK_NAME} was removed or replaced, so another server may use "
                "the directory; restart the server"
            )
        with self._explained(), contextlib.ExitStack() as undo:
            file = _open(undo, self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            self._lock(file, needed=True)
            _write_owner(file)
            undo.pop_all()
        os.close(self._file)
        self._file = file
        log.warning("the lock file %s was removed and has been made again", self.path / LOCK_NAME)

    def _lock(self, descriptor: int, *, needed: bool) -> bool:
        """Whether it is locked now; a lock that is not needed may be one that the file system lacks."""
        try:
            while not _locked(descriptor) and time.monotonic() < self._until:
                time.sleep(_LOOK_SECONDS)
            _lock_at_once(descriptor)
        except BlockingIOError:
            raise StoreError(
                f"the data directory {self.path} is in use by another gpubench (process "
                f"{_owner(self.path)}); stop that one, or pass another directory with --data-dir"
            ) from None
        except OSError as error:
            if needed:
                raise StoreError(
                    f"the data directory {self.path} cannot be locked: {error.strerror}; pass one on a local "
                    "disk with --data-dir"
                ) from None
            return False
        return True

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the data directory {self.path} cannot be used: {error.strerror}; "
                "pass another one with --data-dir"
            ) from None


def _open(undo: contextlib.ExitStack, path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    undo.callback(os.close, descriptor)
    return descriptor


def _locked(descriptor: int) -> bool:
    """Lock it, unless another process has; raises ``OSError`` for any other reason."""
    try:
        _lock_at_once(descriptor)
    except BlockingIOError:
        return False
    return True


def _lock_at_once(descriptor: int) -> None:
    import fcntl  # not available on every system, and clients on any system import this module

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _identity(of: Path | int) -> _Identity | None:
    try:
        found = of.stat() if isinstance(of, Path) else os.fstat(of)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_owner(file: int) -> None:
    with contextlib.suppress(OSError):  # on a full disk, the owner's process id is missing
        os.truncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


def _owner(directory: Path) -> str:
    with contextlib.suppress(OSError):
        return (directory / LOCK_NAME).read_bytes()[:20].decode("ascii", "replace").strip() or "unknown"
    return "unknown"
