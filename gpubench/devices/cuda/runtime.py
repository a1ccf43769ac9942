"""CUDA devices, through PyCUDA.

Tested on a stand-in for the driver that runs the kernels on the processor, and seen on an H100 and an H200
(driver 580). What rests on NVIDIA's documents alone says so.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import pycuda.driver as cuda

from gpubench.catalog.lookup import is_slice
from gpubench.devices.base import MAX_HELD_ENTRIES, Copy, Launch, Operation, Together, entries
from gpubench.devices.cuda import compiler
from gpubench.devices.cuda.hold import Hold
from gpubench.devices.cuda.info import EXCLUSIVE, architecture, cuda_version, describe, why_not_held
from gpubench.devices.cuda.memory import Allocation, PinnedMemory, View
from gpubench.devices.cuda.peers import Peers
from gpubench.devices.host_memory import PageableMemory, moves_pageable
from gpubench.devices.telemetry import Nvml, NvmlWatch
from gpubench.errors import (
    BenchmarkFailed,
    DeviceInUse,
    DeviceLost,
    GpubenchError,
    NoSuchDevice,
    OutOfDeviceMemory,
)
from gpubench.results.machine import Clocks, DeviceInfo, DriverStatus, Usage

_NON_BLOCKING = 1
"""A flag of streams; PyCUDA has no name for it."""

_COMPILING_AT_ONCE = 8
"""As many shapes as are tried, and more; the compilers leave Python's lock while they work."""


class CudaRuntime:
    """Every GPU that the driver shows; looking needs no context, and so no memory of theirs."""

    def __init__(self) -> None:
        try:
            cuda.init()
            found = [describe(index) for index in range(cuda.Device.count())]
        except cuda.Error as error:
            raise GpubenchError(f"the CUDA driver offers no device: {error}") from None
        self._devices = {info.id: (index, info) for index, info in enumerate(found)}

    def devices(self) -> list[DeviceInfo]:
        return [info for _, info in self._devices.values()]

    def drivers(self) -> list[DriverStatus]:
        """None to tell apart: there is one driver, and without it this runtime is not loaded."""
        return []

    def open(self, device_id: str) -> CudaDevice:
        if device_id not in self._devices:
            raise NoSuchDevice(f"no CUDA device {device_id!r}; there are: {', '.join(self._devices)}")
        index, info = self._devices[device_id]
        return CudaDevice(index, info, {k: other for k, other in self._devices.values() if k != index})


class CudaDevice:
    """One GPU with its primary context, a stream, and a second one for work beside it.

    Raises ``MissingDependency`` where nothing compiles for it, ``OutOfDeviceMemory`` where others
    left no memory for a context, and ``DeviceLost``.
    """

    def __init__(self, index: int, info: DeviceInfo, others: Mapping[int, DeviceInfo]) -> None:
        self._info = info
        self._closed = False
        self._worked_at = -math.inf
        self._late_starts = 0
        self._target = compiler.find_target(architecture(info), cuda_version())
        self._threads = ThreadPoolExecutor(_COMPILING_AT_ONCE, "compile")
        self._nvml = Nvml(info.pci_bus_id or "", part=is_slice(info.name))
        with self._calls("opened"), self._explained_if_in_use(index):
            context = cuda.Device(index).retain_primary_context()
            context.push()
        self._peers = Peers(index, context, others)
        try:
            with self._calls("opened"):
                # Of its own: the default stream waits for others, and others for it.
                self._stream, self._second = cuda.Stream(_NON_BLOCKING), cuda.Stream(_NON_BLOCKING)
                self._begin, self._end, self._fork, self._join = (cuda.Event() for _ in range(4))
                # Nothing is held if the driver would not run it then: the device's notes give the reason.
                self._hold = None if why_not_held(self._nvml) else Hold(self._module_of, self._stream)
        except GpubenchError:
            cuda.Context.pop()
            raise
        # PyCUDA aborts the process if a context still exists at its end.
        atexit.register(self.close)

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def compiler(self) -> str:
        return self._target.description

    def free_bytes(self) -> int:
        with self._calls("asked for its memory"):
            return int(cuda.mem_get_info()[0])

    def allocate(self, nbytes: int) -> Allocation:
        with self._calls(f"asked for {nbytes} bytes in one piece"):
            return Allocation(cuda.mem_alloc(nbytes), nbytes)

    def host_memory(self, nbytes: int, *, pinned: bool) -> PinnedMemory | PageableMemory:
        try:
            return PinnedMemory(nbytes) if pinned else PageableMemory(nbytes)
        except (cuda.Error, MemoryError) as error:
            kind = "pinned" if pinned else "pageable"
            raise BenchmarkFailed(
                f"the host cannot allocate {nbytes} bytes of {kind} memory: {error}"
            ) from None

    def peers(self) -> list[DeviceInfo]:
        with self._calls("asked for its peers"):
            return self._peers.describe()

    def peer_memory(self, peer_id: str, nbytes: int) -> Allocation:
        with self._calls(f"asked for {nbytes} bytes of its peer {peer_id}", refusal=BenchmarkFailed):
            return self._peers.allocate(peer_id, nbytes)

    def compile(self, text: str) -> _Program:
        """For the exact architecture of this GPU, beside other work: whoever asks for a kernel waits."""
        return _Program(self, self._threads.submit(self._cubin, text))

    def run(self, operations: Sequence[Operation]) -> float:
        # A transfer of pageable memory returns when it is done, which it never would be behind a hold.
        hold = None if any(map(moves_pageable, operations)) else self._hold
        with self._calls("given work", refusal=BenchmarkFailed), hold or contextlib.nullcontext():
            self._begin.record(self._stream)
            queued = 0
            for operation in operations:
                queued += entries(operation)
                if hold and queued > MAX_HELD_ENTRIES:
                    hold.release()
                self._start(operation)
            self._end.record(self._stream)
        with self._calls("working"):
            self._end.synchronize()
            self._worked_at = time.monotonic()
            self._late_starts += hold is not None and hold.gave_up
            return float(self._end.time_since(self._begin)) * 1e-3

    @property
    def late_starts(self) -> int:
        return self._late_starts

    def read_words(self, buffer: View, count: int, word_bytes: int) -> list[int]:
        words = np.empty(count, np.dtype(f"u{word_bytes}"))
        with self._calls("read"):
            cuda.memcpy_dtoh_async(words, buffer.pointer, self._stream)
            self._stream.synchronize()
        return [int(word) for word in words]

    def write_zeros(self, buffer: View) -> None:
        with self._calls("written"):
            cuda.memset_d8_async(buffer.pointer, 0, buffer.nbytes, self._stream)
            self._stream.synchronize()

    def clocks(self) -> Clocks:
        return self._nvml.clocks()

    def usage(self, window_seconds: float) -> Usage:
        """What NVML reports at once, for its last sampling period of 1/6 to 1 s."""
        return self._nvml.usage(time.monotonic() - self._worked_at)

    def watch(self) -> NvmlWatch:
        return NvmlWatch(self._nvml)

    def close(self) -> None:
        """May be called again; it is called at the end of the process otherwise."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(cuda.Error):
            self._stream.synchronize()
        with contextlib.suppress(cuda.Error):
            cuda.Context.pop()

    @contextlib.contextmanager
    def _explained_if_in_use(self, index: int) -> Iterator[None]:
        """A device in exclusive mode belongs to the first program that opens it."""
        try:
            yield
        except cuda.Error as error:
            mode = cuda.Device(index).get_attribute(cuda.device_attribute.COMPUTE_MODE)
            if int(mode) != EXCLUSIVE:
                raise
            holders = ", ".join(self._nvml.holders()) or "another program"
            raise DeviceInUse(
                f"{self._info.name} is in exclusive mode and in use by {holders}: wait until that ends, or "
                f"let several programs use it with nvidia-smi -c DEFAULT ({error})"
            ) from None

    def _start(self, operation: Operation) -> None:
        if not isinstance(operation, Together):
            _enqueue(operation, self._stream)
            return
        self._fork.record(self._stream)
        self._second.wait_for_event(self._fork)
        for row, stream in ((operation.first, self._stream), (operation.second, self._second)):
            for each in row:
                _enqueue(each, stream)
        self._join.record(self._second)
        self._stream.wait_for_event(self._join)

    def _cubin(self, text: str) -> bytes:
        return compiler.compile_cubin(text, self._target.architecture, self._target.compiler)

    def _module_of(self, text: str) -> Any:
        return self._load(self._cubin(text))

    def _load(self, cubin: bytes) -> Any:
        with self._calls("given machine code", refusal=BenchmarkFailed):
            return cuda.module_from_buffer(cubin)

    @contextlib.contextmanager
    def _calls(self, doing: str, refusal: type[GpubenchError] = DeviceLost) -> Iterator[None]:
        """Driver calls, whose failure becomes ours: no memory, a refusal, or the end of the device.

        After an illegal access, a failed launch or a time-out of the driver every further call fails
        in the same way (cuda.h at the errors 700, 719 and 702), so a context that still answers has
        refused one call and no more.
        """
        try:
            yield
        except cuda.MemoryError as error:
            raise OutOfDeviceMemory(
                f"{self._info.name}, {doing}, has too little memory free ({error})"
            ) from None
        except (
            cuda.Error,
            UnicodeDecodeError,
        ) as error:  # PyCUDA decodes the driver's log, whatever it holds
            kind = refusal if _context_answers() else DeviceLost
            raise kind(f"{self._info.name} failed when it was {doing}: {error}") from None


def _enqueue(operation: Launch | Copy, stream: Any) -> None:
    if isinstance(operation, Launch):
        operation.kernel.launch(operation, stream)
        return
    destination, source, nbytes = operation.destination, operation.source, operation.nbytes
    if isinstance(destination, View) and isinstance(source, View):
        cuda.memcpy_dtod_async(destination.pointer, source.pointer, nbytes, stream)
    elif isinstance(destination, View):
        cuda.memcpy_htod_async(destination.pointer, source.array[:nbytes], stream)
    else:
        cuda.memcpy_dtoh_async(destination.array[:nbytes], source.pointer, stream)


class _Program:
    def __init__(self, device: CudaDevice, cubin: Future[bytes]) -> None:
        self._device = device
        self._cubin = cubin

    @cached_property
    def _module(self) -> Any:
        return self._device._load(self._cubin.result())

    def kernel(self, name: str) -> _Kernel:
        """Raises ``BenchmarkFailed`` if the program does not compile."""
        module = self._module
        with self._device._calls(f"asked for the kernel {name}"):
            return _Kernel(module.get_function(name))


class _Kernel:
    """A function whose arguments are all of 64 bits: pointers and numbers."""

    def __init__(self, function: Any) -> None:
        # Drivers load a kernel late, at its first use, for which they may wait until the device is
        # idle; that would be behind our own hold. To ask for an attribute loads it now (CUDA's
        # programming guide, lazy loading).
        _ = function.num_regs
        self._function = function

    def launch(self, launch: Launch, stream: Any) -> None:
        arguments = [each.pointer if isinstance(each, View) else each for each in launch.arguments]
        self._function.prepare("Q" * len(arguments))
        self._function.prepared_async_call((launch.groups, 1), (launch.group_size, 1, 1), stream, *arguments)


def _context_answers() -> bool:
    try:
        cuda.Context.synchronize()
    except cuda.Error:
        return False
    return True
