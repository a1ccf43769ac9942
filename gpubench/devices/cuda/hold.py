"""Hold a stream's work until all of it is queued.

A launch costs the host some microseconds, and a short kernel as much on the device: without a hold
the device's clock would count the host's work. A kernel of one thread waits in front of the queue for
a word in host memory, which is written once everything stands behind it. It counts its own cycles
meanwhile, and gives up after some: whatever happens to the host, the device is never stuck. Then it says so
in a second word, because the time of that run contains the host's work.

The idea is nvbench's blocking kernel. On an H100 a launch that is queued behind it costs 1.8 µs, and 5.3 µs
at the host's pace (results/, `launch`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pycuda.driver as cuda

LIMIT_CYCLES = 1 << 29
"""0.3 s at 1.8 GHz, 2.6 s at an idle clock of 210 MHz."""

_TEXT = """
extern "C" __global__ void hold(volatile unsigned long long *words, unsigned long long ticket,
                                unsigned long long limit_cycles) {
    const long long begin = clock64();
    while (words[0] < ticket)
        if (clock64() - begin >= (long long)limit_cycles) {
            words[1] = ticket;
            break;
        }
}
"""


class Hold:
    """As a context manager: what is queued inside begins when the context ends, or at ``release``."""

    def __init__(self, load: Callable[[str], Any], stream: Any) -> None:
        """``load`` makes a module of a text; raises what it raises, and ``pycuda.driver.Error``."""
        self._stream = stream
        # In the host's memory and seen by the device: it sees the word change while the kernel runs.
        self._words = cuda.pagelocked_zeros(2, np.uint64, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
        self._pointer = int(self._words.base.get_device_pointer())
        self._module = load(_TEXT)
        self._kernel = self._module.get_function("hold").prepare("QQQ")
        self._ticket = 0

    def __enter__(self) -> Hold:
        self._ticket += 1
        self._kernel.prepared_async_call(
            (1, 1), (1, 1, 1), self._stream, self._pointer, self._ticket, LIMIT_CYCLES
        )
        return self

    def release(self) -> None:
        self._words[0] = self._ticket

    @property
    def gave_up(self) -> bool:
        """Whether the last one ended by itself; to be asked when the work behind it is done."""
        return bool(self._words[1] == self._ticket)

    def __exit__(self, *_: object) -> None:
        self.release()
