"""The memory of a processor as a device: what the system was asked for it."""

from __future__ import annotations

from pathlib import Path

import pyopencl as cl

from gpubench.devices.opencl_memory import HUGE_PAGE_BYTES, HostAllocation

NBYTES = 64 << 20


def mapping(address: int) -> str:
    """What the system says of the mapping around an address."""
    found = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        begin, dash, end = line.split(" ")[0].partition("-")
        if dash:
            found = line + "\n" if int(begin, 16) <= address < int(end, 16) else ""
        elif found:
            found += line + "\n"
            if line.startswith("VmFlags"):
                return found
    raise AssertionError("no such address")


def test_it_may_lie_on_huge_pages() -> None:
    """Shared memory may not on most systems, and would be slower, and slow to give back."""
    context = cl.Context(cl.get_platforms()[0].get_devices()[:1])
    allocation = HostAllocation(context, NBYTES)
    address = allocation._memory.ctypes.data
    said = mapping(address)
    allocation.release()
    assert address % HUGE_PAGE_BYTES == 0
    assert " rw-p " in said.splitlines()[0]
    assert " hg" in said.splitlines()[-1]
