"""OpenCL devices, through PyOpenCL: GPUs of every vendor, and the processor through PoCL."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pyopencl as cl

from gpubench.devices import host, pci, pocl, pocl_target
from gpubench.devices.base import MAX_HELD_ENTRIES, Allocation, Copy, Launch, Operation, Together, Watch
from gpubench.devices.host_memory import PageableMemory, moves_pageable
from gpubench.devices.opencl_memory import DeviceAllocation, HostAllocation, PinnedMemory
from gpubench.errors import BenchmarkFailed, DeviceLost, GpubenchError, NoSuchDevice, OutOfDeviceMemory
from gpubench.results.document import Clocks, DeviceInfo, Telemetry, Usage

_PLATFORM_NAMES = {"portable computing language": "pocl", "nvidia cuda": "nvidia"}


class OpenClRuntime:
    """Every installed OpenCL platform's devices."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[Any, DeviceInfo]] = {}
        counts: Counter[str] = Counter()
        for platform in _platforms():
            slug = _slug(platform.name)
            unavailable = _settle_pocl() if slug == "pocl" else None
            for device in platform.get_devices():
                kind = _kind(device)
                ordinal = counts[kind]
                counts[kind] += 1
                # Counted over platforms: two may have one name, such as two versions of PoCL.
                device_id = f"opencl:{slug}:{counts[platform.name]}"
                counts[platform.name] += 1
                alias = f"opencl-{kind}{ordinal}"
                info = _describe(device, device_id, alias=alias, kind=kind, unavailable=unavailable)
                self._devices[device_id] = (device, info)

    def devices(self) -> list[DeviceInfo]:
        return [info for _, info in self._devices.values()]

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
        self._info = info
        try:
            self._context = cl.Context([device])
            timed = cl.command_queue_properties.PROFILING_ENABLE
            self._queue = cl.CommandQueue(self._context, properties=timed)
            self._second = cl.CommandQueue(self._context, properties=timed)
        except cl.Error as error:
            raise DeviceLost(f"{info.id} cannot be opened: {error}") from None

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def compiler(self) -> str:
        return f"{self._device.platform.name} {self._device.platform.version}"

    def free_bytes(self) -> int:
        """On a processor what is free; elsewhere all memory, since OpenCL cannot tell."""
        if self._info.kind == "cpu":
            return host.available_memory_bytes() or 0
        return int(self._device.global_mem_size)

    def allocate(self, nbytes: int) -> Allocation:
        try:
            if self._info.kind == "cpu":
                return HostAllocation(self._context, nbytes)
            return DeviceAllocation(self._context, nbytes)
        except (cl.Error, OSError) as error:
            raise OutOfDeviceMemory(
                f"{self._info.name} gives no {nbytes} bytes in one piece ({error}); ask for less"
            ) from None

    def host_memory(self, nbytes: int, *, pinned: bool) -> PinnedMemory | PageableMemory:
        """Pinned is what the driver itself allocates on the host, as NVIDIA's and AMD's guides say."""
        try:
            return PinnedMemory(self._context, self._queue, nbytes) if pinned else PageableMemory(nbytes)
        except (cl.Error, MemoryError) as error:
            kind = "pinned" if pinned else "pageable"
            raise BenchmarkFailed(f"the host gives no {nbytes} bytes of {kind} memory: {error}") from None

    def peers(self) -> list[DeviceInfo]:
        """OpenCL has no copies between the devices of two contexts, but through the host."""
        return []

    def peer_memory(self, peer_id: str, nbytes: int) -> Allocation:
        raise BenchmarkFailed(f"{self._info.name} has no peer {peer_id!r}")

    def compile(self, text: str) -> _Program:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # compilers talk; failures are raised
                return _Program(cl.Program(self._context, text).build())
        except cl.Error as error:
            raise BenchmarkFailed(f"the kernels do not compile with {self.compiler}: {error}") from None

    def run(self, operations: Sequence[Operation]) -> float:
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
            raise BenchmarkFailed(f"{self._info.name} refused it: {error}") from None
        except cl.Error as error:
            self._lost(error)
        return float(nanoseconds) * 1e-9

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
        """OpenCL tells no live clock."""
        return Clocks()

    def usage(self, window_seconds: float) -> Usage:
        """Of a processor; of other devices OpenCL tells nothing."""
        return host.usage(window_seconds) if self._info.kind == "cpu" else Usage()

    def watch(self) -> Watch:
        return host.HostWatch() if self._info.kind == "cpu" else _NoWatch()

    def close(self) -> None:
        self._queue.finish()
        self._second.finish()

    def _start_all(self, operations: Sequence[Operation]) -> list[tuple[list[Any], list[Any]]]:
        """Held back until all is queued: a launch costs the host more than a short kernel the device.

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
        """A GPU's driver may move pageable memory while it is asked to, and would wait for itself."""
        return self._info.kind == "cpu" or not any(map(moves_pageable, operations))

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
        for queue in queues:  # one waits for the other, which must have been sent off
            queue.flush()
        cl.enqueue_barrier(self._queue, wait_for=[rows[1][-1]])
        return [row[0] for row in rows], [row[-1] for row in rows]

    def _lost(self, error: Exception) -> NoReturn:
        raise DeviceLost(f"{self._info.name} failed while it was used: {error}") from None


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
        return cl.Kernel(self._program, name)


class _NoWatch:
    def stop(self) -> Telemetry:
        return Telemetry(absent="OpenCL tells no clocks, power or temperature")


def _platforms() -> list[Any]:
    try:
        return list(cl.get_platforms())
    except cl.Error:
        raise GpubenchError(
            "no OpenCL platform is installed; `pip install 'gpubench[opencl]'` brings PoCL for the processor"
        ) from None


def _settle_pocl() -> str | None:
    """Before its devices are asked for; returns why none of them will run a kernel."""
    refused = pocl_target.name_unknown_processor()
    return pocl.missing() or refused


def _describe(device: Any, device_id: str, *, alias: str, kind: str, unavailable: str | None) -> DeviceInfo:
    on_host = kind == "cpu"
    total = host.total_memory_bytes() if on_host else int(device.global_mem_size)
    available = host.available_memory_bytes() if on_host else None
    return DeviceInfo(
        id=device_id,
        alias=alias,
        runtime="opencl",
        kind=kind,  # type: ignore[arg-type]
        name=host.describe_host().processor or device.name.strip() if on_host else device.name.strip(),
        hardware_id="host" if on_host else _pci_address(device) or device_id,
        vendor=device.vendor.strip(),
        driver=device.driver_version,
        runtime_version=device.platform.version,
        compute_units=int(device.max_compute_units),
        memory_bytes=total,
        memory_used_bytes=total - available if total is not None and available is not None else None,
        max_allocation_bytes=int(device.max_mem_alloc_size),
        # What OpenCL calls the global memory's cache is not the last level on GPUs.
        last_level_cache_bytes=host.last_level_cache_bytes() if on_host else None,
        pci_bus_id=_pci_address(device),
        has_double="cl_khr_fp64" in device.extensions.split(),
        unavailable=unavailable,
    )


def _kind(device: Any) -> str:
    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"


def _pci_address(device: Any) -> str | None:
    """Of NVIDIA's and AMD's devices, which have extensions that tell it."""
    try:
        bus, slot, domain = device.pci_bus_id_nv, device.pci_slot_id_nv, device.pci_domain_id_nv
        return pci.format_address(domain, bus, slot >> 3, slot & 7)
    except (cl.Error, AttributeError):
        pass
    try:
        topology = device.topology_amd
        return pci.format_address(0, topology.bus, topology.device, topology.function)
    except (cl.Error, AttributeError):
        return None


def _slug(name: str) -> str:
    known = _PLATFORM_NAMES.get(name.strip().lower())
    return known or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
