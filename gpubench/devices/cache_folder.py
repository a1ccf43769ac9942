"""Where drivers keep compiled kernels.

PoCL, PyOpenCL and NVIDIA's driver read their caches blindly: without a folder that can be written they find
no device, a full disk or a damaged file aborts the process, and code on a disk mounted ``noexec`` cannot be
loaded. So a folder is tried before a worker process gets it.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from gpubench.devices.process_limits import named
from gpubench.errors import LimitReached
from gpubench.units import format_bytes

VARIABLE = "GPUBENCH_CACHE_DIR"

_OF_DRIVERS = {"POCL_CACHE_DIR": "pocl", "CUDA_CACHE_PATH": "nvidia", "XDG_CACHE_HOME": "other"}
"""The variable that names each cache, and its folder within ours; ``other`` is for PyOpenCL, Mesa, Intel."""

_ROOM_BYTES = 16 << 20
"""What a folder must have room for: the kernels of a run take a few megabytes."""


def root() -> Path:
    """The user's folder for everything that gpubench compiles."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("gpubench"))


@dataclass(frozen=True)
class CacheFolder:
    """A folder that was proved to be writable and executable, for one worker process.

    ``note`` says why it is not the usual one. ``environment`` makes the drivers use it. A folder that is
    ``temporary`` is to be removed.
    """

    path: Path
    temporary: bool = False
    note: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def discard(self) -> str:
        """Empty it of what drivers keep there; returns what was done, or is left to do, as a clause.

        A folder that the user named for a driver is not ours to empty.
        """
        if self.temporary:
            return f"{self.path} was temporary"
        for name in _OF_DRIVERS.values():
            aside = self.path / f".{name}-{secrets.token_hex(4)}"
            with contextlib.suppress(OSError):  # at once, so that no other worker reads half of it
                (self.path / name).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        named = [f"{name}={path}" for name, path in self.environment.items() if not self._holds(path)]
        return f"delete the contents of {', '.join(named)}" if named else f"{self.path} has been emptied"

    @property
    def room(self) -> str:
        """The folder, and how much is free there."""
        return _with_free_space(self.path)

    def remove(self) -> None:
        """Remove it if it is temporary."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def _holds(self, path: str) -> bool:
        return Path(path).is_relative_to(self.path)


def open_folder(*, empty: bool = False) -> CacheFolder:
    """The user's folder, or a private temporary one if that cannot be used or is not to be (``empty``).

    Raises ``LimitReached`` if no folder can be used; it names each with the reason and its free space.
    """
    reasons: list[str] = []
    if not empty:
        try:
            _prove(root())
            return _with_environment(root(), temporary=False)
        except OSError as error:
            reasons.append(_why_not(root(), error))
    note = f"compiled kernels were not kept ({reasons[0]})" if reasons else None
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")):  # noqa: S108
        try:
            path = Path(tempfile.mkdtemp(prefix="gpubench-kernels-", dir=parent))
        except OSError as error:
            reasons.append(_why_not(Path(parent), error))
            continue
        try:
            _prove(path)
            return _with_environment(path, temporary=True, note=note, empty=empty)
        except OSError as error:
            reasons.append(_why_not(Path(parent), error))
            shutil.rmtree(path, ignore_errors=True)
    raise LimitReached(
        f"no folder can hold compiled kernels ({'; '.join(reasons)}): set {VARIABLE} to one that can be "
        f"written, from which code can be run, and which has {format_bytes(_ROOM_BYTES)} free"
    )


def _with_environment(
    path: Path, *, temporary: bool, note: str | None = None, empty: bool = False
) -> CacheFolder:
    """With what the user set for a driver, if it can be used and need not be empty."""
    environment = {VARIABLE: str(path)}
    for name, folder in _OF_DRIVERS.items():
        asked = os.environ.get(name)
        if asked and not empty and name != "XDG_CACHE_HOME":
            try:
                _prove(Path(asked))
                environment[name] = asked
                continue
            except OSError as error:
                note = note or f"{name}={asked} is not used: {_reason(Path(asked), error)}"
        environment[name] = str(path / folder)
        (path / folder).mkdir(exist_ok=True)
    return CacheFolder(path, temporary, note, environment)


def _prove(folder: Path) -> None:
    """Raises ``OSError`` if files cannot be written there, or code in them cannot be run."""
    if not folder.is_absolute():
        raise FileNotFoundError("not an absolute path")  # as of a user without a home
    folder.mkdir(parents=True, exist_ok=True)
    Path(tempfile.mkdtemp(prefix=".tried-", dir=folder)).rmdir()
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)
        else:
            file.truncate(_ROOM_BYTES)
        mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()


def _why_not(folder: Path, error: OSError) -> str:
    """Raises ``LimitReached`` if another folder would not do either."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.ENOMEM):
        raise LimitReached(named(error.errno))
    return f"{_with_free_space(folder)}: {_reason(folder, error)}"


def _reason(folder: Path, error: OSError) -> str:
    if isinstance(error, PermissionError) and os.access(folder, os.W_OK | os.X_OK):
        return "code there cannot be run (noexec)"
    return error.strerror or str(error)


def used_here() -> str | None:
    """The folder of this process and its free space, if it was given one; else null."""
    path = os.environ.get(VARIABLE)
    return _with_free_space(Path(path)) if path else None


def _with_free_space(folder: Path) -> str:
    """With what is free on the disk on which the folder is, or would be."""
    for each in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return f"{folder}, {format_bytes(shutil.disk_usage(each).free)} free"
    return str(folder)
