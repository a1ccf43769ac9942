"""Other GPUs of this machine, as places of copies. This is not tested on two GPUs yet.

PyCUDA's own ``memcpy_peer`` passes the current context for both ends, so copies go by addresses alone:
under unified addressing, which every 64-bit system has, an address tells its device.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import msgspec
import pycuda.driver as cuda

from gpubench.devices.cuda.memory import Allocation
from gpubench.results.machine import DeviceInfo

_ALREADY_ENABLED = "already enabled"
"""The driver's error for a second time in one process; PyCUDA distinguishes errors by their text only."""


class PeerAllocation(Allocation):
    """Memory of a peer, with the context that it needs there and no longer than that.

    A context takes some 0.5 GB of the peer, and makes this process one of those that compute on it.
    """

    def __init__(self, context: Any, nbytes: int) -> None:
        """In ``context``, which is the current one; raises ``pycuda.driver.Error``."""
        super().__init__(cuda.mem_alloc(nbytes), nbytes)
        self._context = context

    def release(self) -> None:
        super().release()
        _let_go(self._context)


class Peers:
    """Of the device ``index``, whose context is the current one."""

    def __init__(self, index: int, context: Any, others: Mapping[int, DeviceInfo]) -> None:
        self._index = index
        self._context = context
        self._others = others

    def describe(self) -> list[DeviceInfo]:
        """All others; ``unavailable`` is the reason if no copy between it and this one is possible."""
        return [self._described(index, info) for index, info in self._others.items()]

    def allocate(self, peer_id: str, nbytes: int) -> PeerAllocation:
        """Memory of a peer, which kernels of this device reach too; raises ``pycuda.driver.Error``."""
        [index] = (index for index, info in self._others.items() if info.id == peer_id)
        context = cuda.Device(index).retain_primary_context()
        try:
            # Kernels of this device reach the peer's memory, and copies go both ways.
            _enable(context)
            context.push()
            try:
                _enable(self._context)
                return PeerAllocation(context, nbytes)
            finally:
                cuda.Context.pop()
        except BaseException:
            _let_go(context)
            raise

    def _described(self, index: int, info: DeviceInfo) -> DeviceInfo:
        own, other = cuda.Device(self._index), cuda.Device(index)
        if info.unavailable or (own.can_access_peer(other) and other.can_access_peer(own)):
            return info
        reason = "this system gives the two devices no access to each other's memory"
        return msgspec.structs.replace(info, unavailable=reason)


def _enable(context: Any) -> None:
    """Lets the current context access another one's memory."""
    try:
        cuda.Context.enable_peer_access(context)
    except cuda.Error as error:
        if _ALREADY_ENABLED not in str(error):
            raise


def _let_go(context: Any) -> None:
    """PyCUDA makes it the current one for that and leaves it so, and the driver takes it off no stack."""
    context.detach()
    ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
