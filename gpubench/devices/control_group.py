"""The limits of this process's control groups: memory, processor time, throttling, processes and kills.

Versions 1 and 2, also both on one system. Any ancestor may have a limit, and the lowest one counts
(Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT_BYTES = 1 << 60
"""Version 1 reports "no limit" as the largest multiple of a page below 2^63."""


@dataclass(frozen=True)
class ControlGroup:
    """The groups of one process; every property is read anew. ``root`` is ``/``, or a copy in tests."""

    root: Path = Path("/")

    @property
    def memory_limit_bytes(self) -> int | None:
        """The lowest limit of the process's group and its ancestors; null without any."""
        limits = (_memory_limit(folder) for folder in self._folders("memory"))
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def memory_left_bytes(self) -> int | None:
        """The least memory left below a limit; null without any. Inactive page cache counts as free."""
        left = []
        for folder in self._folders("memory"):
            limit = _memory_limit(folder)
            used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
            if limit is not None and used is not None:
                cache = _field(folder / "memory.stat", "total_inactive_file", "inactive_file") or 0
                left.append(max(0, limit - max(0, used - cache)))
        return min(left, default=None)

    @property
    def quota_cores(self) -> float | None:
        """The processor time allowed, in cores: 0.5 is half of one core's. Null without a quota."""
        quotas = (_quota(folder) for folder in self._folders("cpu"))
        return min((quota for quota in quotas if quota is not None), default=None)

    @property
    def throttled_seconds(self) -> dict[Path, float]:
        """For how long each group's quota has held threads back in all, summed over the threads."""
        found = {}
        for folder in self._folders("cpu"):
            microseconds = _field(folder / "cpu.stat", "throttled_usec")
            nanoseconds = _field(folder / "cpu.stat", "throttled_time")
            if microseconds is not None:
                found[folder] = microseconds / 1e6
            elif nanoseconds is not None:
                found[folder] = nanoseconds / 1e9
        return found

    @property
    def out_of_memory_kills(self) -> int | None:
        """How many processes the kernel killed for the group's memory limit; null if not counted."""
        found = [
            count
            for folder in self._folders("memory")
            for file in ("memory.events", "memory.oom_control")
            if (count := _field(folder / file, "oom_kill")) is not None
        ]
        return max(found, default=None)

    @property
    def process_limit(self) -> int | None:
        """The most processes and threads that the group and its ancestors allow; null without a limit."""
        limits = (_number(folder / "pids.max") for folder in self._folders("pids"))
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def refused_processes(self) -> int:
        """How many processes and threads were not started because of that limit."""
        counts = (_field(folder / "pids.events", "max") for folder in self._folders("pids"))
        return max((count for count in counts if count is not None), default=0)

    def _folders(self, controller: str) -> Iterator[Path]:
        """The group's folder and those of its ancestors, as far as this process can see them."""
        mounts = self._mounts()
        for line in (_text(self.root / "proc/self/cgroup") or "").splitlines():
            _, controllers, path = line.split(":", 2)
            version = 2 if not controllers else 1
            if version == 1 and controller not in controllers.split(","):
                continue
            for mount_version, names, inside, mounted in mounts:
                if mount_version != version or (version == 1 and controller not in names):
                    continue
                # In a container the mount shows a subtree; the path may or may not begin with its root.
                below = path.removeprefix(inside) if inside != "/" else path
                folder = self.root / mounted.lstrip("/")
                parts = [part for part in below.split("/") if part not in ("", "..")]
                for count in range(len(parts), -1, -1):
                    yield folder.joinpath(*parts[:count])

    def _mounts(self) -> list[tuple[int, set[str], str, str]]:
        """Version, controllers, root within the hierarchy, and mount point of each mounted hierarchy."""
        found = []
        for line in (_text(self.root / "proc/self/mountinfo") or "").splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = [*after.split(" ", 2), "", ""][:3]
            fields = before.split(" ")
            if kind in ("cgroup", "cgroup2") and len(fields) > 4:
                version = 2 if kind == "cgroup2" else 1
                found.append((version, set(options.split(",")), fields[3], fields[4]))
        return found


def machine_out_of_memory_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel killed because memory ran out, wherever the limit was."""
    return _field(root / "proc/vmstat", "oom_kill") or 0


def _memory_limit(folder: Path) -> int | None:
    limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
    return limit if limit is not None and limit < _NO_LIMIT_BYTES else None


def _quota(folder: Path) -> float | None:
    quota, _, period = (_text(folder / "cpu.max") or "").partition(" ")
    if quota.isdigit() and period.isdigit():
        return _ratio(int(quota), int(period))
    return _ratio(_number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us"))


def _ratio(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period else None


def _number(*paths: Path) -> int | None:
    """The number in the first file that holds one; ``max`` and -1 are not numbers."""
    for path in paths:
        text = _text(path)
        if text and text.isdigit():
            return int(text)
    return None


def _field(path: Path, *names: str) -> int | None:
    """The value of the first of these fields in a file of ``name value`` lines."""
    fields = dict(line.split(" ", 1) for line in (_text(path) or "").splitlines() if " " in line)
    return next((int(fields[name]) for name in names if fields.get(name, "").isdigit()), None)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()  # names of groups are paths
    except OSError:
        return None
