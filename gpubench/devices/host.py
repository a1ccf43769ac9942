"""The host: its processor, memory, caches, and their use by other programs.

OpenCL on a processor reports less, and less reliably: PoCL's sizes change with free memory and ignore the
control group that may limit this process.
"""

from __future__ import annotations

import math
import mmap
import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path

from gpubench import systems
from gpubench.devices.control_group import ControlGroup
from gpubench.results.machine import Host, Telemetry, Usage
from gpubench.text import encodable

systems.require_linux()
import resource  # noqa: E402  (not elsewhere)

_GROUP = ControlGroup()

_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def describe_host() -> Host:
    return Host(
        processor=_processor_name(),
        name=encodable(platform.node()) or None,
        cores=len(os.sched_getaffinity(0)),
        cores_online=os.cpu_count(),
        quota_cores=_GROUP.quota_cores,
        memory_bytes=total_memory_bytes(),
        memory_limit_bytes=_GROUP.memory_limit_bytes,
        huge_pages=_huge_pages(),
        page_bytes=mmap.PAGESIZE,
        numa_nodes=usable_numa_nodes(),
        numa_nodes_online=_count(numbers(_read(Path("/sys/devices/system/node/online")) or "")),
        os=_os_name(),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def usable_numa_nodes() -> list[int] | None:
    """The nodes whose memory this process may use; null if the system does not report them."""
    found = re.search(r"^Mems_allowed_list:\s*(\S+)$", _read(Path("/proc/self/status")) or "", re.M)
    return numbers(found[1]) if found else None


def numbers(text: str) -> list[int] | None:
    """The kernel's list format, such as ``0-2,5``; null if it is something else."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        return None
    ranges = [part.partition("-") for part in text.split(",")]
    return [n for first, _, last in ranges for n in range(int(first), int(last or first) + 1)]


def total_memory_bytes() -> int | None:
    """The machine's memory, or the control groups' limit if that is less."""
    return _least(_meminfo("MemTotal"), _GROUP.memory_limit_bytes)


def available_memory_bytes() -> int | None:
    """What can be allocated without swapping, within the control groups' limits."""
    return _least(_meminfo("MemAvailable"), _GROUP.memory_left_bytes)


def is_wsl() -> bool:
    """Whether this Linux runs under Windows (WSL), whose driver the GPU has."""
    return "microsoft" in (_read(Path("/proc/sys/kernel/osrelease")) or "").lower()


def is_jetson() -> bool:
    """Whether this is one of NVIDIA's boards with a processor and an integrated GPU (Tegra)."""
    return _read(Path("/etc/nv_tegra_release")) is not None


def usable_cores() -> int:
    """How many threads can run at once: the cores that this process may use, or fewer by a quota."""
    allowed, quota = len(os.sched_getaffinity(0)), _GROUP.quota_cores
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


@dataclass(frozen=True)
class DataCache:
    """``instances`` of ``nbytes`` each, shared or one for each core."""

    level: int
    nbytes: int
    instances: int


def data_caches(root: Path = Path("/sys/devices/system/cpu")) -> list[DataCache]:
    """The processor's caches that hold data, nearest first; empty if the system does not report them."""
    sizes: dict[tuple[int, str], int] = {}
    for index in root.glob("cpu[0-9]*/cache/index[0-9]*"):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        found = re.fullmatch(r"(\d+)([KMG])", size or "")
        if level and found and kind != "Instruction":
            shared_by = _read(index / "shared_cpu_list") or str(index)
            sizes[int(level), shared_by] = int(found[1]) * _SIZE_UNITS[found[2]]
    by_level = {level: [size for (at, _), size in sizes.items() if at == level] for level, _ in sizes}
    return [DataCache(level, max(each), len(each)) for level, each in sorted(by_level.items())]


def last_level_cache_bytes(root: Path = Path("/sys/devices/system/cpu")) -> int | None:
    """The size of the last cache level, summed over its instances: a footprint spreads over all of them."""
    caches = data_caches(root)
    return caches[-1].nbytes * caches[-1].instances if caches else None


@dataclass(frozen=True)
class _ProcessorTime:
    """Seconds since boot: busy and idle, of the machine and of the usable cores, and of this process."""

    machine: tuple[float, float]
    cores: tuple[float, float]
    own: float


class HostWatch:
    """Reports how much of the processor other programs used, and how long a quota throttled this process.

    Their share is taken of the cores that this process may use, and of the whole machine, whose memory they
    share; the greater one is reported.
    """

    def __init__(self) -> None:
        self._begin = _processor_time()
        self._throttled_seconds = _GROUP.throttled_seconds

    def stop(self) -> Telemetry:
        begin, end = self._begin, _processor_time()
        if begin is None or end is None:
            return Telemetry(absent="/proc/stat cannot be read")
        own = end.own - begin.own
        shares = [_others_share(begin.machine, end.machine, own), _others_share(begin.cores, end.cores, own)]
        known = [share for share in shares if share is not None]
        return Telemetry(
            others_busy_ratio=round(max(known), 4) if known else None,
            throttled_seconds=self._throttled(),
        )

    def _throttled(self) -> float | None:
        """The most that any group's quota did; a group counts what is below it as well."""
        begin, end = self._throttled_seconds, _GROUP.throttled_seconds
        if _GROUP.quota_cores is None:
            return None
        added = [seconds - begin[group] for group, seconds in end.items() if group in begin]
        return round(max(added), 6) if added else None


def _others_share(begin: tuple[float, float], end: tuple[float, float], own: float) -> float | None:
    busy, idle = end[0] - begin[0], end[1] - begin[1]
    return min(1.0, max(0.0, (busy - own) / (busy + idle))) if busy + idle > 0 else None


def usage(window_seconds: float) -> Usage:
    """How much other programs use the processor in the next ``window_seconds``."""
    watch = HostWatch()
    time.sleep(window_seconds)
    return Usage(others_busy_ratio=watch.stop().others_busy_ratio)


def _processor_time() -> _ProcessorTime | None:
    lines = (_read(Path("/proc/stat")) or "").splitlines()
    ticks = {line.split()[0]: line.split()[1:9] for line in lines if line.startswith("cpu")}
    if "cpu" not in ticks:
        return None
    cores = [ticks[f"cpu{core}"] for core in os.sched_getaffinity(0) if f"cpu{core}" in ticks]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return _ProcessorTime(
        _busy_and_idle([ticks["cpu"]]), _busy_and_idle(cores), usage.ru_utime + usage.ru_stime
    )


def _busy_and_idle(rows: list[list[str]]) -> tuple[float, float]:
    """Seconds of rows of /proc/stat: user nice system idle iowait irq softirq steal."""
    ticks = [[int(word) for word in row] for row in rows]
    idle = sum(row[3] + row[4] for row in ticks)
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(map(sum, ticks)) - idle) / per_second, idle / per_second


def _processor_name() -> str | None:
    found = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")) or "", re.M)
    return found[1].strip() if found else (platform.processor() or None)


def processor_flags() -> set[str]:
    """The processor's feature flags by their Linux names; empty if they are not reported."""
    found = re.search(r"^flags\s*:(.*)$", _read(Path("/proc/cpuinfo")) or "", re.M)
    return set(found[1].split()) if found else set()


def _huge_pages() -> str | None:
    """The system's setting for transparent huge pages: always, madvise or never."""
    found = re.search(r"\[(\w+)\]", _read(Path("/sys/kernel/mm/transparent_hugepage/enabled")) or "")
    return found[1] if found else None


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except (OSError, UnicodeDecodeError):
        return None


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", _read(Path("/proc/meminfo")) or "", re.M)
    return int(found[1]) * 1024 if found else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _count(found: list[int] | None) -> int | None:
    return None if found is None else len(found)


def _least(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)
