"""The simulated device's memory: arrays of bytes, which complain if they are used as no runtime allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAGE_BYTES = 4096


@dataclass(eq=False)
class Buffer:
    """A part of an allocation, which must not have been released."""

    allocation: SimulatedAllocation
    offset_bytes: int
    nbytes: int

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        assert not self.allocation.released, "memory is used after its release"
        return self.allocation.memory[self.offset_bytes : self.offset_bytes + self.nbytes]


class SimulatedAllocation:
    address: int | None = None

    def __init__(self, nbytes: int, on_release: Callable[[SimulatedAllocation], None]) -> None:
        self.nbytes = nbytes
        self.memory = np.zeros(nbytes, np.uint8)
        self.released = False
        self._on_release = on_release

    def view(self, offset_bytes: int, nbytes: int) -> Buffer:
        assert offset_bytes % PAGE_BYTES == 0, f"an offset of {offset_bytes} is no multiple of {PAGE_BYTES}"
        assert 0 < nbytes <= self.nbytes - offset_bytes, "a view reaches beyond its allocation"
        return Buffer(self, offset_bytes, nbytes)

    def release(self) -> None:
        assert not self.released, "memory is released twice"
        self.released = True
        self._on_release(self)


class SimulatedHostMemory:
    def __init__(self, nbytes: int, pinned: bool) -> None:
        self.array = np.zeros(nbytes, np.uint8)
        self.pinned = pinned

    def release(self) -> None:
        self.array = np.empty(0, np.uint8)
