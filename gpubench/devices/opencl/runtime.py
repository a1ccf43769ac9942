"""OpenCL devices, through PyOpenCL: GPUs of every vendor, and the processor through PoCL."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np
import pyopencl as cl

from gpubench.devices import host
from gpubench.devices.base import MAX_HELD_ENTRIES, Allocation, Copy, Launch, Operation, Together, Watch
from gpubench.devices.host_memory import PageableMemory, moves_pageable
from gpubench.devices.opencl.hold_trial import can_hold
from gpubench.devices.opencl.info import NO_PROFILING, find
from gpubench.devices.opencl.memory import (
    DeviceAllocation,
    HostAllocation,
    PinnedMemory,
    takes_host_pointers,
)
from gpubench.devices.opencl.platforms import platform_of
from gpubench.devices.profile import profile_of
from gpubench.errors import BenchmarkFailed, DeviceLost, NoSuchDevice, OutOfDeviceMemory, Unsupported
from gpubench.results.machine import Clocks, DeviceInfo, DriverStatus, Telemetry, Usage

NO_HOST_POINTERS = "the driver refuses the host's memory as it is: arrays are in memory that it allocates"


class OpenClRuntime:
    """The devices of the drivers with these libraries, or of all that are installed."""

    def __init__(self, libraries: Sequence[str] | None = None) -> None:
        found = find(libraries)
        self._devices = {info.id: (device, info) for device, info in found.devices}
        self._drivers = found.drivers

    def devices(self) -> list[DeviceInfo]:
        return [info for _, info in self._devices.values()]

    def drivers(self) -> list[DriverStatus]:
        return self._drivers

    def open(self, device_id: str) -> OpenClDevice:
        if device_id not in self._devices:
            raise NoSuchDevice(f"no OpenCL device {device_id!r}; there are: {', '.join(self._devices)}")
        return OpenClDevice(*self._devices[device_id])


class OpenClDevice:
    """One OpenCL device with an in-order queue that keeps time, and a second one for work beside it."""

    def __init__(self, device: Any, info: DeviceInfo) -> None:
        if info.unavailable:
            raise DeviceLost(f"{info.id} cannot be opened: {info.unavailable}")
        self._device = device
        self._profile = profile_of(info.kind)
        try:
            self._context = cl.Context([device])
            self._queue, self._second, self._keeps_time = _queues(self._context)
            self._options = _compiler_options(device)
        except cl.Error as error:
            raise DeviceLost(f"{info.id} cannot be opened: {error}") from None
        self._uses_host_memory = self._profile.is_host_processor and takes_host_pointers(self._context)
        if self._profile.is_host_processor and not self._uses_host_memory:
            info = msgspec.structs.replace(info, notes=[*info.notes, NO_HOST_POINTERS])
        self._info = info
        self._holds = can_hold(info, device.name)

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def compiler(self) -> str:
        return f"{self._device.platform.name} {self._device.platform.version}"

    def free_bytes(self) -> int:
        """On a processor the free memory; elsewhere all memory, since OpenCL does not report what is free."""
        if self._profile.is_host_processor:
            return host.available_memory_bytes() or 0
        return int(self._device.global_mem_size)

    def allocate(self, nbytes: int) -> Allocation:
        try:
            if self._uses_host_memory:
                return HostAllocation(self._context, nbytes)
            return DeviceAllocation(self._context, nbytes)
        except (cl.Error, OSError) as error:
            raise OutOfDeviceMemory(
                f"{self._info.name} cannot allocate {nbytes} bytes in one piece ({error}); ask for less"
            ) from None

    def host_memory(self, nbytes: int, *, pinned: bool) -> PinnedMemory | PageableMemory:
        """Pinned memory is allocated by the driver, as NVIDIA's and AMD's guides recommend."""
        try:
            return PinnedMemory(self._context, self._queue, nbytes) if pinned else PageableMemory(nbytes)
        except (cl.Error, MemoryError) as error:
            kind = "pinned" if pinned else "pageable"
            raise BenchmarkFailed(
                f"the host cannot allocate {nbytes} bytes of {kind} memory: {error}"
            ) from None

    def peers(self) -> list[DeviceInfo]:
        """Empty: OpenCL copies between the devices of two contexts only through the host."""
        return []

    def peer_memory(self, peer_id: str, nbytes: int) -> Allocation:
        raise BenchmarkFailed(f"{self._info.name} has no peer {peer_id!r}")

    def compile(self, text: str) -> _Program:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # compilers print warnings; failures are raised
                return _Program(cl.Program(self._context, text).build(self._options))
        except cl.Error as error:
            raise BenchmarkFailed(f"the kernels do not compile with {self.compiler}: {error}") from None

    def run(self, operations: Sequence[Operation]) -> float:
        """As ``Device.run``; raises ``Unsupported`` if the driver does not tell the time."""
        if not self._keeps_time:
            raise Unsupported(f"{self._info.name}: {NO_PROFILING}")
        try:
            done = self._start_all(operations)
            cl.wait_for_events(done[-1][1])
            begin = min(event.profile.start for event in done[0][0])
            nanoseconds = max(event.profile.end for event in done[-1][1]) - begin
        except cl.MemoryError as error:
            raise OutOfDeviceMemory(
                f"{self._info.name} has too little memory free ({error}); ask for less"
            ) from None
        except cl.LogicError as error:  # this launch is not possible, such as for its group size
            raise BenchmarkFailed(f"{self._info.name} refused the operation: {error}") from None
        except cl.Error as error:
            if error.code == cl.status_code.PROFILING_INFO_NOT_AVAILABLE:
                raise Unsupported(f"{self._info.name}: {NO_PROFILING}") from None
            self._lost(error)
        return float(nanoseconds) * 1e-9

    @property
    def late_starts(self) -> int:
        """None: what OpenCL holds begins when it is told to, and not by itself."""
        return 0

    def read_words(self, buffer: Any, count: int, word_bytes: int) -> list[int]:
        words = np.empty(count, np.dtype(f"u{word_bytes}"))
        try:
            cl.enqueue_copy(self._queue, words, buffer)
        except cl.Error as error:
            self._lost(error)
        return [int(word) for word in words]

    def write_zeros(self, buffer: Any) -> None:
        try:
            cl.enqueue_fill_buffer(self._queue, buffer, np.uint8(0), 0, buffer.size).wait()
        except cl.Error as error:
            self._lost(error)

    def clocks(self) -> Clocks:
        """OpenCL does not report live clocks."""
        return Clocks()

    def usage(self, window_seconds: float) -> Usage:
        """For a processor; OpenCL reports nothing for other devices."""
        return host.usage(window_seconds) if self._profile.is_host_processor else Usage()

    def watch(self) -> Watch:
        return host.HostWatch() if self._profile.is_host_processor else _NoWatch()

    def close(self) -> None:
        self._queue.finish()
        self._second.finish()

    def _start_all(self, operations: Sequence[Operation]) -> list[tuple[list[Any], list[Any]]]:
        """Held until everything is queued: a launch costs the host more than a short kernel the device.

        Seen with PoCL: an empty kernel in a batch takes 15 us without, and 1 us with it.
        """
        if len(operations) == 1 or not self._can_hold(operations):
            return [self._start(operation) for operation in operations]
        held = cl.UserEvent(self._context)
        cl.enqueue_barrier(self._queue, wait_for=[held])
        try:
            done = [self._start(operation) for operation in operations[:MAX_HELD_ENTRIES]]
            self._queue.flush()
        finally:
            held.set_status(cl.command_execution_status.COMPLETE)
        return done + [self._start(operation) for operation in operations[MAX_HELD_ENTRIES:]]

    def _can_hold(self, operations: Sequence[Operation]) -> bool:
        return self._holds and not (
            self._profile.enqueueing_may_copy and any(map(moves_pageable, operations))
        )

    def _start(self, operation: Operation) -> tuple[list[Any], list[Any]]:
        """Its events that may begin first, and those that may end last."""
        if isinstance(operation, Together):
            return self._start_together(operation)
        event = _enqueue(operation, self._queue)
        return [event], [event]

    def _start_together(self, both: Together) -> tuple[list[Any], list[Any]]:
        queues = (self._queue, self._second)
        begin = cl.enqueue_marker(self._queue)
        cl.enqueue_barrier(self._second, wait_for=[begin])
        rows = [
            [_enqueue(each, queue) for each in row]
            for row, queue in zip((both.first, both.second), queues, strict=True)
        ]
        for queue in queues:  # one waits for the other, which must have been flushed
            queue.flush()
        cl.enqueue_barrier(self._queue, wait_for=[rows[1][-1]])
        return [row[0] for row in rows], [row[-1] for row in rows]

    def _lost(self, error: Exception) -> NoReturn:
        raise DeviceLost(f"{self._info.name} failed while it was used: {error}") from None


def _queues(context: Any) -> tuple[Any, Any, bool]:
    """Two queues that keep time, and true; if the driver has none of this kind, two others, and false."""
    timed = cl.command_queue_properties.PROFILING_ENABLE
    try:
        return cl.CommandQueue(context, properties=timed), cl.CommandQueue(context, properties=timed), True
    except cl.LogicError as error:
        if error.code != cl.status_code.INVALID_QUEUE_PROPERTIES:
            raise
    return cl.CommandQueue(context), cl.CommandQueue(context), False


def _compiler_options(device: Any) -> list[str]:
    takes_prefetch = platform_of(device.platform.name).builtin_prefetch
    return ["-DBUILTIN_PREFETCH=1"] if takes_prefetch else []


def _enqueue(operation: Launch | Copy, queue: Any) -> Any:
    if isinstance(operation, Copy):
        return _enqueue_copy(operation, queue)
    arguments = [np.uint64(x) if isinstance(x, int) else x for x in operation.arguments]
    operation.kernel.set_args(*arguments)
    size = operation.group_size
    return cl.enqueue_nd_range_kernel(queue, operation.kernel, (operation.groups * size,), (size,))


def _enqueue_copy(copy: Copy, queue: Any) -> Any:
    ends = [
        end.array[: copy.nbytes] if isinstance(end, PageableMemory | PinnedMemory) else end
        for end in (copy.destination, copy.source)
    ]
    if any(isinstance(end, np.ndarray) for end in ends):
        return cl.enqueue_copy(queue, *ends, is_blocking=False)
    return cl.enqueue_copy(queue, *ends, byte_count=copy.nbytes)


class _Program:
    def __init__(self, program: Any) -> None:
        self._program = program

    def kernel(self, name: str) -> Any:
        try:
            return cl.Kernel(self._program, name)
        except cl.Error as error:  # such as of a damaged cache of compiled kernels
            raise BenchmarkFailed(f"the program that was just built lacks {name}: {error}") from None


class _NoWatch:
    def stop(self) -> Telemetry:
        return Telemetry(absent="OpenCL tells no clocks, power or temperature")
