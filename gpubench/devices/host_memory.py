"""Pageable host memory, which is the same for every runtime."""

from __future__ import annotations

import numpy as np

from gpubench.devices.base import Copy, Operation, Together


class PageableMemory:
    """Ordinary host memory, as programs usually have it."""

    pinned = False

    def __init__(self, nbytes: int) -> None:
        """Raises ``MemoryError``."""
        self.array = np.empty(nbytes, np.uint8)

    def release(self) -> None:
        self.array = np.empty(0, np.uint8)


def moves_pageable(operation: Operation) -> bool:
    """Whether a driver may block the calling thread until it is done."""
    if isinstance(operation, Together):
        return any(map(moves_pageable, (*operation.first, *operation.second)))
    if isinstance(operation, Copy):
        return any(isinstance(end, PageableMemory) for end in (operation.destination, operation.source))
    return False
