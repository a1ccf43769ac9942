"""What the driver and NVML report about a CUDA device before it is opened."""

from __future__ import annotations

import ctypes

import msgspec
import pycuda.driver as cuda

from gpubench.devices import host, numa, pci
from gpubench.devices.cuda import compiler
from gpubench.devices.telemetry import Nvml
from gpubench.errors import GpubenchError
from gpubench.results.machine import DeviceInfo

_PROHIBITED = 2
"""The compute mode of CUDA in which no program may use the device."""


def describe(index: int) -> DeviceInfo:
    """The GPU of this number, with the reason if it cannot be opened; after ``cuda.init``."""
    device = cuda.Device(index)
    attribute = cuda.device_attribute

    def asked(name: str) -> int | None:
        try:
            return int(device.get_attribute(getattr(attribute, name)))
        except cuda.Error:
            return None

    def known(name: str) -> int | None:
        """A size or a rate; drivers report 0 if they do not know it."""
        return asked(name) or None

    address = pci.parse_address(device.pci_bus_id())
    nvml = Nvml(address)
    kilohertz = known("MEMORY_CLOCK_RATE")
    ecc = asked("ECC_ENABLED")
    integrated = asked("INTEGRATED")
    # A GPU that shares the host's memory has no link; NVML reports PCIe 1 x1 there.
    generation, lanes = (None, None) if integrated else nvml.pcie_link()
    total, used = int(device.total_memory()), nvml.memory_used_bytes()
    info = DeviceInfo(
        id=f"cuda:{_uuid(index) or address}",
        alias=f"cuda-gpu{index}",
        runtime="cuda",
        kind="gpu",
        name=device.name(),
        hardware_id=address,
        vendor="NVIDIA",
        driver=nvml.driver(),
        runtime_version="CUDA {}.{}".format(*cuda_version()),
        compute_units=known("MULTIPROCESSOR_COUNT"),
        compute_capability=".".join(str(part) for part in device.compute_capability()),
        memory_bytes=total,
        # Of a part of a GPU (MIG), NVML may report the use of the whole.
        memory_used_bytes=used if used is not None and used <= total else None,
        last_level_cache_bytes=known("L2_CACHE_SIZE"),
        bus_width_bits=known("GLOBAL_MEMORY_BUS_WIDTH") or nvml.bus_width_bits(),
        memory_clock_hz=kilohertz * 1000 if kilohertz else nvml.max_memory_clock_hz(),
        ecc_enabled=None if ecc is None else bool(ecc),
        pci_bus_id=address,
        pci_device_id=nvml.pci_device_id(),
        integrated=None if integrated is None else bool(integrated),
        pcie_generation=generation,
        pcie_lanes=lanes,
        numa_node=numa.node_of_device(address),
        notes=[note for note in (why_not_held(nvml),) if note],
    )
    try:
        if asked("COMPUTE_MODE") == _PROHIBITED:
            raise GpubenchError("its compute mode is `prohibited`; nvidia-smi -c DEFAULT allows its use")
        compiler.find_target(architecture(info), cuda_version())
    except GpubenchError as error:
        return msgspec.structs.replace(info, unavailable=error.message)
    return info


def why_not_held(nvml: Nvml) -> str | None:
    """Why work cannot be held until all of it is queued (see hold.py), as a note; null if it can."""
    if host.is_wsl():
        reason = "Windows gives the GPU work in batches, when it sees fit"
    elif nvml.is_confidential():
        reason = "under confidential computing a kernel does not see the host's memory while it runs"
    else:
        return None
    return f"work is not held until all of it is queued, so that short kernels include launches: {reason}"


def _uuid(index: int) -> str | None:
    """``GPU-`` and the UUID; PyCUDA has no call for it."""
    driver = ctypes.CDLL("libcuda.so.1")
    handle, uuid = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    # The second version distinguishes the parts of a GPU (MIG); it is from CUDA 11.4.
    ask = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    if driver.cuDeviceGet(ctypes.byref(handle), index) or ask(uuid, handle):
        return None
    digits = bytes(uuid).hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def cuda_version() -> tuple[int, int]:
    """Major and minor of the newest CUDA version that the driver runs."""
    version = int(cuda.get_driver_version())
    return version // 1000, version % 1000 // 10


def architecture(info: DeviceInfo) -> str:
    """Such as ``sm_90``, as compilers want it."""
    return f"sm_{(info.compute_capability or '').replace('.', '')}"
