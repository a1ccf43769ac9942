"""What memory truly lies on, and what it is attached to: from the system's own account of it."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from gpubench.devices import host, pci
from gpubench.devices.opencl.memory import HUGE_PAGE_BYTES, HostAllocation
from gpubench.devices.pages import huge_page_ratio
from tests.devices.test_opencl_memory import new_context

NBYTES = 32 << 20

SMAPS = """\
1000-3000 rw-p 00000000 00:00 0
Rss:                 100 kB
AnonHugePages:        40 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:        10 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
VmFlags: rd wr
5000-9000 rw-p 00000000 00:00 0                          [heap]
Rss:                   0 kB
AnonHugePages:         0 kB
Private_Hugetlb:     100 kB
VmFlags: rd wr ht
"""


def touched(advice: int) -> tuple[mmap.mmap, int]:
    """Memory that the system was advised about before it was used, and where it begins on a huge page."""
    pages = mmap.mmap(-1, NBYTES + HUGE_PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(advice)
    whole = np.frombuffer(pages, np.uint8)
    whole[:] = 1
    return pages, whole.ctypes.data


def test_small_pages_are_told_from_huge_ones() -> None:
    _small, at = touched(mmap.MADV_NOHUGEPAGE)
    assert huge_page_ratio([(at, at + NBYTES - 1)]) == 0.0


@pytest.mark.skipif(host.describe_host().huge_pages == "never", reason="huge pages are switched off here")
def test_the_arrays_of_a_processor_are_counted() -> None:
    allocation = HostAllocation(new_context(), NBYTES)
    allocation._memory[:] = 1
    assert allocation.address is not None
    ratio = huge_page_ratio([(allocation.address, allocation.address + NBYTES - 1)])
    allocation.release()
    assert ratio is not None
    assert ratio > 0.9


@pytest.mark.parametrize(
    ("ranges", "ratio"),
    [
        ([(0x1000, 0x1FFF)], 0.5),
        ([(0x2FFF, 0x4000)], 0.5),  # the mapping's last byte
        ([(0x3000, 0x4FFF)], None),  # between two
        ([(0x5000, 0x8FFF)], 1.0),  # hugetlbfs, which Rss does not count
        ([(0x1000, 0x1FFF), (0x8000, 0x8FFF)], 0.75),
        ([], None),
    ],
)
def test_only_the_mappings_of_the_ranges_count(
    ranges: list[tuple[int, int]], ratio: float | None, tmp_path: Path
) -> None:
    (tmp_path / "smaps").write_text(SMAPS)
    assert huge_page_ratio(ranges, tmp_path / "smaps") == ratio


def test_a_system_that_reports_nothing_is_unknown(tmp_path: Path) -> None:
    assert huge_page_ratio([(0, 1)], tmp_path / "absent") is None
    assert pci.numa_node("00000000:41:00.0", tmp_path) is None
    assert pci.numa_node(None) is None


@pytest.mark.parametrize(("text", "node"), [("1\n", 1), ("0", 0), ("-1\n", None), ("none", None)])
def test_the_node_of_a_device_is_the_systems(text: str, node: int | None, tmp_path: Path) -> None:
    (tmp_path / "0000:41:00.0").mkdir()
    (tmp_path / "0000:41:00.0" / "numa_node").write_text(text)
    assert pci.numa_node("00000000:41:00.0", tmp_path) == node


@pytest.mark.parametrize(
    ("text", "found"), [("0", [0]), ("0-2,5", [0, 1, 2, 5]), ("", None), ("none", None), ("1-", None)]
)
def test_lists_of_nodes(text: str, found: list[int] | None) -> None:
    assert host.numbers(text) == found


def test_the_host_says_what_decides_a_figure() -> None:
    about = host.describe_host()
    assert about.page_bytes == mmap.PAGESIZE
    assert about.name
    assert about.numa_nodes
    assert about.numa_nodes_online is not None
    assert len(about.numa_nodes) <= about.numa_nodes_online
