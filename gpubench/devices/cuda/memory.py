"""Memory under CUDA: the device's, and the host's that the driver pins."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycuda.driver as cuda


@dataclass(frozen=True)
class View:
    pointer: int
    nbytes: int


class Allocation:
    address: int | None = None

    def __init__(self, memory: Any, nbytes: int) -> None:
        self._memory = memory
        self.nbytes = nbytes

    def view(self, offset_bytes: int, nbytes: int) -> View:
        return View(int(self._memory) + offset_bytes, nbytes)

    def release(self) -> None:
        with contextlib.suppress(cuda.Error):  # of a lost device: its memory is gone already
            self._memory.free()


class PinnedMemory:
    pinned = True

    def __init__(self, nbytes: int) -> None:
        self.array = cuda.pagelocked_empty(nbytes, np.uint8)

    def release(self) -> None:
        memory, self.array = self.array.base, np.empty(0, np.uint8)
        with contextlib.suppress(cuda.Error):  # of a lost device
            memory.free()
