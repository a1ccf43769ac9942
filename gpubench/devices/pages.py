"""The pages that memory of this process lies on: how much of it the system really put on huge ones.

A setting such as ``madvise`` only permits huge pages; a system without free ones gives small ones, whose
addresses take longer to translate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ", re.MULTILINE)
_HUGE = re.compile(
    r"^(?:AnonHugePages|ShmemPmdMapped|FilePmdMapped|Shared_Hugetlb|Private_Hugetlb):\s*(\d+) kB",
    re.MULTILINE,
)
_RESIDENT = re.compile(r"^(?:Rss|Shared_Hugetlb|Private_Hugetlb):\s*(\d+) kB", re.MULTILINE)
"""Pages of hugetlbfs are not part of Rss."""


def huge_page_ratio(
    ranges: Iterable[tuple[int, int]], smaps: Path = Path("/proc/self/smaps")
) -> float | None:
    """The share of the memory in these ranges, first and last address, that lies on huge pages, 0 to 1.

    Counted over the mappings that hold the ranges: the system may join neighbours into one. Null if there is
    no range, none of it is resident, or the system does not report it.
    """
    wanted = list(ranges)
    if not wanted:
        return None
    try:
        text = smaps.read_text("utf-8", "replace")  # paths of libraries may be any bytes
    except OSError:
        return None
    heads = list(_MAPPING.finditer(text))
    huge = resident = 0
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        begin, end = int(head[1], 16), int(head[2], 16)
        if any(first < end and last >= begin for first, last in wanted):
            fields = text[head.end() : following.start() if following else None]
            huge += sum(map(int, _HUGE.findall(fields)))
            resident += sum(map(int, _RESIDENT.findall(fields)))
    return round(min(1.0, huge / resident), 4) if resident else None
