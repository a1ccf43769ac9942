"""CUDA devices, through PyCUDA. Not yet seen on a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pycuda.driver as cuda

from gpubench.devices import pci
from gpubench.devices.base import Launch
from gpubench.devices.cuda_compile import Compiler, compile_cubin, find_compiler
from gpubench.devices.telemetry import Nvml, NvmlWatch
from gpubench.errors import BenchmarkFailed, DeviceLost, GpubenchError, NoSuchDevice, OutOfDeviceMemory
from gpubench.results.document import Clocks, DeviceInfo

Result = TypeVar("Result")


class CudaRuntime:
    """Every GPU that the driver shows."""

    def __init__(self) -> None:
        try:
            cuda.init()
            found = [_describe(index) for index in range(cuda.Device.count())]
        except cuda.Error as error:
            raise GpubenchError(f"the CUDA driver offers no device: {error}") from None
        self._devices = {info.id: (index, info) for index, info in enumerate(found)}

    def devices(self) -> list[DeviceInfo]:
        return [info for _, info in self._devices.values()]

    def open(self, device_id: str) -> CudaDevice:
        if device_id not in self._devices:
            raise NoSuchDevice(f"no CUDA device {device_id!r}; there are: {', '.join(self._devices)}")
        return CudaDevice(*self._devices[device_id])


class CudaDevice:
    """One GPU with its primary context and one stream."""

    def __init__(self, index: int, info: DeviceInfo) -> None:
        self._info = info
        self._compiler: Compiler = find_compiler()
        self._nvml = Nvml(info.pci_bus_id or "")
        try:
            self._context = cuda.Device(index).retain_primary_context()
            self._context.push()
        except cuda.Error as error:
            raise DeviceLost(f"{info.id} cannot be opened: {error}") from None
        try:
            self._stream = cuda.Stream()
            self._begin, self._end = cuda.Event(), cuda.Event()
        except cuda.Error as error:
            self._context.pop()
            raise DeviceLost(f"{info.id} cannot be opened: {error}") from None

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def compiler(self) -> str:
        return self._compiler.version

    def free_bytes(self) -> int:
        free, _ = self._call(cuda.mem_get_info)
        return int(free)

    def allocate(self, nbytes: int) -> _Allocation:
        return _Allocation(self._call(lambda: cuda.mem_alloc(nbytes)), nbytes)

    def compile(self, text: str) -> _Program:
        """For the exact architecture of this GPU."""
        architecture = f"sm_{(self._info.compute_capability or '').replace('.', '')}"
        cubin = compile_cubin(text, architecture, self._compiler)
        return _Program(self._call(lambda: cuda.module_from_buffer(cubin)))

    def run(self, launches: Sequence[Launch]) -> float:
        return self._call(lambda: self._time(launches))

    def _time(self, launches: Sequence[Launch]) -> float:
        self._begin.record(self._stream)
        for launch in launches:
            launch.kernel.launch(launch, self._stream)
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._end.time_since(self._begin)) * 1e-3

    def read_words(self, buffer: _View, count: int, word_bytes: int) -> list[int]:
        words = np.empty(count, np.dtype(f"u{word_bytes}"))
        self._call(self._stream.synchronize)
        self._call(lambda: cuda.memcpy_dtoh(words, buffer.pointer))
        return [int(word) for word in words]

    def write_zeros(self, buffer: _View) -> None:
        self._call(lambda: cuda.memset_d8_async(buffer.pointer, 0, buffer.nbytes, self._stream))
        self._call(self._stream.synchronize)

    def clocks(self) -> Clocks:
        return self._nvml.clocks()

    def watch(self) -> NvmlWatch:
        return NvmlWatch(self._nvml)

    def close(self) -> None:
        """A context that is not popped aborts the process at its exit."""
        self._context.pop()

    def _call(self, call: Callable[[], Result]) -> Result:
        """Call the driver; its errors as ours."""
        try:
            return call()
        except cuda.Error as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Exception) -> GpubenchError:
        """Of an error: it was this call alone, or the context is dead for good.

        After a sticky error (700, 719 and others) every later call fails too, so the next one tells.
        """
        try:
            cuda.Context.synchronize()
        except cuda.Error:
            return DeviceLost(f"{self._info.name} failed while it was used: {error}")
        if isinstance(error, cuda.MemoryError):
            return OutOfDeviceMemory(f"{self._info.name} has too little memory free ({error}); ask for less")
        return BenchmarkFailed(f"{self._info.name} refused it: {error}")


@dataclass(frozen=True)
class _View:
    pointer: int
    nbytes: int


class _Allocation:
    def __init__(self, memory: Any, nbytes: int) -> None:
        self._memory = memory
        self.nbytes = nbytes

    def view(self, offset_bytes: int, nbytes: int) -> _View:
        return _View(int(self._memory) + offset_bytes, nbytes)

    def release(self) -> None:
        self._memory.free()


class _Program:
    def __init__(self, module: Any) -> None:
        self._module = module

    def kernel(self, name: str) -> _Kernel:
        return _Kernel(self._module.get_function(name))


class _Kernel:
    """A function whose arguments are all of 64 bits: pointers and numbers."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._prepared = 0

    def launch(self, launch: Launch, stream: Any) -> None:
        arguments = [each.pointer if isinstance(each, _View) else each for each in launch.arguments]
        if self._prepared != len(arguments):
            self._function.prepare("Q" * len(arguments))
            self._prepared = len(arguments)
        self._function.prepared_async_call((launch.groups, 1), (launch.group_size, 1, 1), stream, *arguments)


def _describe(index: int) -> DeviceInfo:
    """Without a context: looking for devices costs no memory on them."""
    device = cuda.Device(index)
    attribute = cuda.device_attribute
    address = pci.parse_address(device.pci_bus_id())

    def known(name: str) -> int | None:
        """Of an attribute; drivers say 0 where they do not know."""
        try:
            return int(device.get_attribute(getattr(attribute, name))) or None
        except cuda.Error:
            return None

    kilohertz = known("MEMORY_CLOCK_RATE")
    version = cuda.get_driver_version()
    return DeviceInfo(
        id=f"cuda:{_uuid(index) or address}",
        alias=f"cuda-gpu{index}",
        runtime="cuda",
        kind="gpu",
        name=device.name(),
        hardware_id=address,
        vendor="NVIDIA",
        driver=Nvml(address).driver(),
        runtime_version=f"CUDA {version // 1000}.{version % 1000 // 10}",
        compute_units=known("MULTIPROCESSOR_COUNT"),
        compute_capability=".".join(str(part) for part in device.compute_capability()),
        memory_bytes=int(device.total_memory()),
        last_level_cache_bytes=known("L2_CACHE_SIZE"),
        bus_width_bits=known("GLOBAL_MEMORY_BUS_WIDTH"),
        memory_clock_hz=kilohertz * 1000 if kilohertz else None,
        ecc_enabled=bool(device.get_attribute(attribute.ECC_ENABLED)),
        pci_bus_id=address,
    )


def _uuid(index: int) -> str | None:
    """``GPU-`` and the UUID; PyCUDA has no call for it."""
    driver = ctypes.CDLL("libcuda.so.1")
    handle, uuid = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if driver.cuDeviceGet(ctypes.byref(handle), index) or driver.cuDeviceGetUuid(uuid, handle):
        return None
    digits = bytes(uuid).hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
