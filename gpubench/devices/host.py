"""The machine itself: its processor, memory, caches, and who else is using it.

OpenCL on a processor tells less and worse: PoCL's sizes move with free memory, and ignore the
control group that may bound this process.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from gpubench.results.machine import Host, Telemetry, Usage

_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def describe_host() -> Host:
    return Host(
        processor=_processor_name(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=total_memory_bytes(),
        os=_os_name(),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def total_memory_bytes() -> int | None:
    """The machine's memory, or the control group's limit where that is less."""
    return _least(_meminfo("MemTotal"), _control_group("memory.max"))


def available_memory_bytes() -> int | None:
    """What can be allocated without swapping, within the control group's limit."""
    limit, used = _control_group("memory.max"), _control_group("memory.current")
    left = limit - used if limit is not None and used is not None else None
    return _least(_meminfo("MemAvailable"), left)


@dataclass(frozen=True)
class DataCache:
    """``instances`` of ``nbytes`` each, shared or one for each core."""

    level: int
    nbytes: int
    instances: int


def data_caches(root: Path = Path("/sys/devices/system/cpu")) -> list[DataCache]:
    """The processor's caches that hold data, nearest first; empty where the system does not tell."""
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
    """The largest cache level, all its instances together: a footprint spreads over all of them."""
    caches = data_caches(root)
    return caches[-1].nbytes * caches[-1].instances if caches else None


@dataclass(frozen=True)
class _ProcessorTime:
    """Seconds of processor time since boot: of all programs, of idling, and of this process."""

    busy: float
    idle: float
    own: float


class HostWatch:
    """Tells afterwards how much of the processor others used, this machine's own host included."""

    def __init__(self) -> None:
        self._begin = _processor_time()

    def stop(self) -> Telemetry:
        begin, end = self._begin, _processor_time()
        if begin is None or end is None:
            return Telemetry(absent="/proc/stat cannot be read")
        busy, idle, own = end.busy - begin.busy, end.idle - begin.idle, end.own - begin.own
        if busy + idle <= 0:
            return Telemetry()
        return Telemetry(others_busy_ratio=round(min(1.0, max(0.0, (busy - own) / (busy + idle))), 4))


def usage(window_seconds: float) -> Usage:
    """What others use of the processor in the next ``window_seconds``."""
    watch = HostWatch()
    time.sleep(window_seconds)
    return Usage(others_busy_ratio=watch.stop().others_busy_ratio)


def _processor_time() -> _ProcessorTime | None:
    found = re.match(r"cpu +(.*)", _read(Path("/proc/stat")) or "")
    if not found:
        return None
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal; what follows is counted in user already.
    ticks = [int(word) / ticks_per_second for word in found[1].split()[:8]]
    idle = ticks[3] + ticks[4]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return _ProcessorTime(busy=sum(ticks) - idle, idle=idle, own=usage.ru_utime + usage.ru_stime)


def _processor_name() -> str | None:
    found = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")) or "", re.M)
    return found[1].strip() if found else (platform.processor() or None)


def processor_flags() -> set[str]:
    """What the processor can do, as Linux calls it; empty where that is not told."""
    found = re.search(r"^flags\s*:(.*)$", _read(Path("/proc/cpuinfo")) or "", re.M)
    return set(found[1].split()) if found else set()


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", _read(Path("/proc/meminfo")) or "", re.M)
    return int(found[1]) * 1024 if found else None


def _control_group(name: str) -> int | None:
    """A size of this process's control group (version 2); null where there is no limit."""
    own = re.search(r"^0::(.+)$", _read(Path("/proc/self/cgroup")) or "", re.M)
    text = _read(Path("/sys/fs/cgroup") / own[1].lstrip("/") / name) if own else None
    return int(text) if text and text.isdigit() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _least(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)
