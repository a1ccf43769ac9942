"""What the driver and NVML report about a CUDA device before it is opened."""

from __future__ import annotations

import ctypes
import os

import msgspec
import pycuda.driver as cuda

from gpubench.catalog.lookup import is_slice
from gpubench.devices import host, pci
from gpubench.devices.cuda import compiler
from gpubench.devices.profile import MAX_SHARE_UNDER_WINDOWS_RATIO
from gpubench.devices.telemetry import Nvml
from gpubench.errors import GpubenchError
from gpubench.results.machine import DeviceInfo

_PROHIBITED, EXCLUSIVE = 2, 3
"""The compute modes of CUDA in which no program may use the device, and in which one at a time may."""

_MEMORY_SLICES = 8
"""Of a GPU that can be divided (MIG); an A30 has four, which are eighths too."""


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

    address, name = pci.parse_address(device.pci_bus_id()), device.name()
    part = is_slice(name)
    nvml = Nvml(address, part=part)
    kilohertz = known("MEMORY_CLOCK_RATE")
    ecc = asked("ECC_ENABLED")
    integrated = asked("INTEGRATED")
    # A GPU that shares the host's memory has no link; NVML reports PCIe 1 x1 there.
    generation, lanes = (None, None) if integrated else nvml.pcie_link()
    total, used = int(device.total_memory()), nvml.memory_used_bytes()
    share = _board_share_ratio(total, nvml.board_memory_bytes()) if _is_mig(name) else None
    width = known("GLOBAL_MEMORY_BUS_WIDTH") or nvml.bus_width_bits()
    if _is_mig(name):
        width = _width_of_part(width, nvml.bus_width_bits(), share)
    info = DeviceInfo(
        id=f"cuda:{_uuid(index) or address}",
        alias=f"cuda-gpu{index}",
        runtime="cuda",
        kind="gpu",
        name=name,
        hardware_id=address,
        vendor="NVIDIA",
        driver=nvml.driver(),
        runtime_version="CUDA {}.{}".format(*cuda_version()),
        compute_units=known("MULTIPROCESSOR_COUNT"),
        compute_capability=".".join(str(part) for part in device.compute_capability()),
        memory_bytes=total,
        memory_used_bytes=used,
        last_level_cache_bytes=known("L2_CACHE_SIZE"),
        bus_width_bits=width,
        board_share_ratio=share,
        memory_clock_hz=kilohertz * 1000 if kilohertz else nvml.max_memory_clock_hz(),
        ecc_enabled=None if ecc is None else bool(ecc),
        pci_bus_id=address,
        pci_device_id=nvml.pci_device_id(),
        integrated=None if integrated is None else bool(integrated),
        pcie_generation=generation,
        pcie_lanes=lanes,
        numa_node=pci.numa_node(address),
        power_limit_watts=nvml.power_limit_watts(),
        notes=_notes(name, share, nvml),
    )
    try:
        if asked("COMPUTE_MODE") == _PROHIBITED:
            raise GpubenchError("its compute mode is `prohibited`; nvidia-smi -c DEFAULT allows its use")
        compiler.find_target(architecture(info), cuda_version())
    except GpubenchError as error:
        return msgspec.structs.replace(info, unavailable=error.message)
    return info


def _is_mig(name: str) -> bool:
    return " MIG " in name


def _board_share_ratio(part_bytes: int, board_bytes: int | None) -> float | None:
    """Of the board's memory that a part of it (MIG) has: so many eighths, and the same of its bus."""
    if not board_bytes:
        return None
    return max(1, round(part_bytes / board_bytes * _MEMORY_SLICES)) / _MEMORY_SLICES


def _width_of_part(reported: int | None, board: int | None, share: float | None) -> int | None:
    """The part's share of the bus; null if it is not known whether the driver reports the board's."""
    if not reported or not board or share is None:
        return None
    return round(board * share) if reported == board else reported


def _notes(name: str, share: float | None, nvml: Nvml) -> list[str]:
    notes = []
    if _is_mig(name):
        of_bus = f"{share:.3g} of its memory and bus" if share else "an unknown part of its bus"
        notes.append(
            f"a part of a GPU (MIG) with {of_bus}; power, energy and utilization are the whole board's, and "
            "left out"
        )
    elif is_slice(name):
        notes.append("a virtual GPU (vGPU): other machines may use the board's memory at the same time")
    if nvml.uses_mps():
        share_of_threads = os.environ.get("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE")
        limit = f"; this program may use {share_of_threads} % of its threads" if share_of_threads else ""
        notes.append(f"programs share the GPU through MPS{limit}")
    if host.is_wsl():
        most = f"{MAX_SHARE_UNDER_WINDOWS_RATIO:.0%}"
        notes.append(f"under WSL a run uses at most {most} of the free memory: Windows keeps the rest")
    return [*notes, *filter(None, [why_not_held(nvml)])]


def why_not_held(nvml: Nvml) -> str | None:
    """Why work cannot be held until all of it is queued (see hold.py), as a note; null if it can."""
    if host.is_wsl():
        reason = "Windows passes work to the GPU in batches, at times of its own"
    elif nvml.is_confidential():
        reason = "under confidential computing a kernel does not see the host's memory while it runs"
    else:
        return None
    return f"work is not held until all of it is queued, so short kernels include their launches: {reason}"


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
