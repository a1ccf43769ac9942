"""The host's side of a transfer: its source and its target, and whether what arrives is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubench.devices import numa
from gpubench.devices.base import Device, HostMemory
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import MAX_REPORTS
from gpubench.measure.sampling import CancelCheck
from gpubench.measure.verification.host_data import differences, fill_elements, slices
from gpubench.measure.verification.result import VerificationResult

_ALL_BITS = np.uint64(2**64 - 1)


class HostEnd:
    """``source`` and ``target`` of ``nbytes`` each, both pinned or both pageable.

    The source is to hold the first bytes of the device's first array, computed by the host.
    """

    def __init__(
        self,
        device: Device,
        nbytes: int,
        *,
        pinned: bool,
        raise_if_cancelled: CancelCheck,
        node: int | None = None,
    ) -> None:
        """On a NUMA node, if one is given. Raises ``BenchmarkFailed`` if the host has no such memory."""
        self.node = node
        self._raise_if_cancelled = raise_if_cancelled
        self._held: list[HostMemory] = []
        try:
            self.source, self.target = (self._hold(device, nbytes, pinned) for _ in range(2))
        except BaseException:
            self.release()
            raise

    @property
    def memory(self) -> str:
        return "pinned" if self.source.pinned else "pageable"

    def fill(self, salt: int, element_bytes: int = 8) -> None:
        elements = self.source.array.view(f"u{element_bytes}")
        fill_elements(elements, salt, self._raise_if_cancelled)

    def fill_like(self, other: HostEnd) -> None:
        ours, theirs = _words(self.source), _words(other.source)
        for part in slices(len(ours), self._raise_if_cancelled):
            ours[part] = theirs[part]

    def poison(self, nbytes: int) -> None:
        """Set all bits, which is no number and so never right."""
        words = _words(self.target, nbytes)
        for part in slices(len(words), self._raise_if_cancelled):
            words[part] = _ALL_BITS

    def verify(self, nbytes: int) -> VerificationResult:
        """Whether the target holds what the source does, every element."""
        source, target = _words(self.source, nbytes), _words(self.target, nbytes)
        return VerificationResult(*differences(source, target, MAX_REPORTS, self._raise_if_cancelled))

    def release(self) -> None:
        while self._held:
            self._held.pop().release()

    def _hold(self, device: Device, nbytes: int, pinned: bool) -> HostMemory:
        with numa.placed_on(self.node):
            self._held.append(device.host_memory(nbytes, pinned=pinned))
            memory = self._held[-1]
            if self.node is None:
                return memory
            memory.array[:: numa.PAGE_BYTES] = 0  # a page is where it is first written
            found = numa.node_of_memory(memory.array.ctypes.data)
        if found not in (None, self.node):
            raise BenchmarkFailed(f"the system gave memory of NUMA node {found} in place of node {self.node}")
        return memory


def _words(memory: HostMemory, nbytes: int | None = None) -> Any:
    return memory.array[:nbytes].view(np.uint64)
