"""The memory of a processor as a device: what the system was asked for it."""

from __future__ import annotations

from pathlib import Path

import pyopencl as cl

from gpubench.devices.opencl.memory import HUGE_PAGE_BYTES, HostAllocation
from gpubench.devices.opencl.runtime import OpenClRuntime

NBYTES = 64 << 20


def new_context() -> cl.Context:
    OpenClRuntime()  # which tells PoCL what to compile for, before its devices are asked for
    return cl.Context(cl.get_platforms()[0].get_devices()[:1])


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


def resident_kib(address: int) -> int:
    [line] = [line for line in mapping(address).splitlines() if line.startswith("Rss:")]
    return int(line.split()[1])


def test_a_small_one_takes_no_huge_page() -> None:
    allocation = HostAllocation(new_context(), 8192)
    assert len(allocation._pages) == 8192
    assert allocation._memory.ctypes.data % 4096 == 0
    assert " hg" not in mapping(allocation._memory.ctypes.data).splitlines()[-1]
    allocation.release()


def test_what_is_released_is_given_back_although_a_view_is_held() -> None:
    context = new_context()
    queue = cl.CommandQueue(context)
    allocation = HostAllocation(context, NBYTES)
    view = allocation.view(0, NBYTES)
    cl.enqueue_fill_buffer(queue, view, b"x", 0, NBYTES).wait()
    address = allocation._memory.ctypes.data
    assert resident_kib(address) >= NBYTES >> 10
    allocation.release()
    assert resident_kib(address) < NBYTES >> 12
    view.release()


def test_it_may_lie_on_huge_pages() -> None:
    """Shared memory may not on most systems, and would be slower, and slow to give back."""
    context = new_context()
    allocation = HostAllocation(context, NBYTES)
    address = allocation._memory.ctypes.data
    said = mapping(address)
    allocation.release()
    assert address % HUGE_PAGE_BYTES == 0
    assert " rw-p " in said.splitlines()[0]
    assert " hg" in said.splitlines()[-1]
