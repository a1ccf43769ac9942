"""Memory under OpenCL: the device's, the host's used in place, and the host's that a driver pins."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pyopencl as cl

HUGE_PAGE_BYTES = 2 << 20


class DeviceAllocation:
    """A buffer, and views of it as sub-buffers."""

    address: int | None = None

    def __init__(self, context: Any, nbytes: int, **options: Any) -> None:
        flags = cl.mem_flags.READ_WRITE | options.pop("flags", 0)
        self._buffer = cl.Buffer(context, flags, nbytes, **options)
        self.nbytes = nbytes

    def view(self, offset_bytes: int, nbytes: int) -> Any:
        return self._buffer.get_sub_region(offset_bytes, nbytes)

    def release(self) -> None:
        self._buffer.release()


def takes_host_pointers(context: Any) -> bool:
    """Whether the driver uses the host's memory in place."""
    memory = np.zeros(mmap.PAGESIZE, np.uint8)
    try:
        cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR, hostbuf=memory).release()
    except cl.Error:
        return False
    return True


class HostAllocation(DeviceAllocation):
    """Host memory, used in place: on huge pages, unless it is smaller than one.

    Buffers that PoCL allocates itself are on small pages, whose addresses take longer to translate.
    """

    def __init__(self, context: Any, nbytes: int) -> None:
        # Private: a shared mapping, the default, gets no huge pages on most systems.
        is_large = nbytes >= HUGE_PAGE_BYTES
        room = nbytes + HUGE_PAGE_BYTES if is_large else nbytes
        self._pages = mmap.mmap(-1, room, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if is_large and hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)
        whole = np.frombuffer(self._pages, np.uint8)
        begin = -whole.ctypes.data % HUGE_PAGE_BYTES if is_large else 0
        self._memory = whole[begin : begin + nbytes]
        self.address = self._memory.ctypes.data
        super().__init__(context, nbytes, flags=cl.mem_flags.USE_HOST_PTR, hostbuf=self._memory)

    def release(self) -> None:
        """Released at once, even while a view exists: its addresses stay valid, so no access can fail."""
        super().release()
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


class PinnedMemory:
    """A buffer in the host's memory, mapped from construction to release."""

    pinned = True

    def __init__(self, context: Any, queue: Any, nbytes: int) -> None:
        self._queue = queue
        self._buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR, nbytes)
        flags = cl.map_flags.READ | cl.map_flags.WRITE
        self.array, _ = cl.enqueue_map_buffer(queue, self._buffer, flags, 0, (nbytes,), np.uint8)

    def release(self) -> None:
        mapped, self.array = self.array.base, np.empty(0, np.uint8)
        mapped.release(self._queue).wait()
        self._buffer.release()
