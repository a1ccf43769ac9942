"""Other GPUs of this machine, as places of copies. Nobody has seen this on two GPUs yet.

PyCUDA's own ``memcpy_peer`` passes the current context for both ends, so copies go by addresses alone:
under unified addressing, which every 64-bit system has, an address tells its device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pycuda.driver as cuda

from gpubench.devices.cuda_memory import Allocation
from gpubench.results.document import DeviceInfo

_ALREADY_ENABLED = "already enabled"
"""What the driver says of a second time in one process; PyCUDA tells errors by their text alone."""


class Peers:
    """Of the device ``index``, whose context is the current one."""

    def __init__(self, index: int, context: Any, others: Mapping[int, DeviceInfo]) -> None:
        self._index = index
        self._context = context
        self._others = others
        self._contexts: dict[str, Any] = {}

    def describe(self) -> list[DeviceInfo]:
        """All others; ``unavailable`` says of one why no copy goes between it and this one."""
        return [self._described(index, info) for index, info in self._others.items()]

    def allocate(self, peer_id: str, nbytes: int) -> Allocation:
        """Memory of a peer, which kernels of this device reach too; raises ``pycuda.driver.Error``."""
        context = self._context_of(peer_id)
        context.push()
        try:
            return Allocation(cuda.mem_alloc(nbytes), nbytes)
        finally:
            cuda.Context.pop()

    def _described(self, index: int, info: DeviceInfo) -> DeviceInfo:
        own, other = cuda.Device(self._index), cuda.Device(index)
        if info.unavailable or (own.can_access_peer(other) and other.can_access_peer(own)):
            return info
        reason = "this system gives the two devices no access to each other's memory"
        return msgspec.structs.replace(info, unavailable=reason)

    def _context_of(self, peer_id: str) -> Any:
        """The peer's primary context, with access in both directions."""
        if peer_id not in self._contexts:
            [index] = (index for index, info in self._others.items() if info.id == peer_id)
            # Kept, whatever comes: when PyCUDA lets go of a context, it leaves it as the current one.
            self._contexts[peer_id] = cuda.Device(index).retain_primary_context()
        context = self._contexts[peer_id]
        _enable(context)
        context.push()
        try:
            _enable(self._context)
        finally:
            cuda.Context.pop()
        return context


def _enable(context: Any) -> None:
    """Lets the current context reach another one's memory."""
    try:
        cuda.Context.enable_peer_access(context)
    except cuda.Error as error:
        if _ALREADY_ENABLED not in str(error):
            raise
