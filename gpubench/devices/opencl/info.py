"""What OpenCL's platforms report about their devices before these are opened."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyopencl as cl

from gpubench.devices import host, pci
from gpubench.devices.opencl import pocl, pocl_target
from gpubench.devices.profile import Kind, profile_of
from gpubench.errors import GpubenchError
from gpubench.results.machine import DeviceInfo

_PLATFORM_NAMES = {"portable computing language": "pocl", "nvidia cuda": "nvidia"}


def find_devices() -> Iterator[tuple[Any, DeviceInfo]]:
    """Each device of each installed platform, with its reported properties."""
    counts: Counter[str] = Counter()
    for platform in _platforms():
        slug = _slug(platform.name)
        prefix = f"opencl:{slug}:"
        unavailable = _settle_pocl() if slug == "pocl" else None
        for device in platform.get_devices():
            kind = _kind(device)
            # Counted over platforms: two may have one name, such as two versions of PoCL.
            device_id, alias = f"{prefix}{counts[prefix]}", f"opencl-{kind}{counts[kind]}"
            counts.update([prefix, kind])
            yield device, _describe(device, device_id, alias=alias, kind=kind, unavailable=unavailable)


def _platforms() -> list[Any]:
    # The loader would sort them by their devices: ask for those before PoCL was told what to compile for.
    os.environ.setdefault("OCL_ICD_PLATFORM_SORT", "none")
    cores = host.usable_cores()
    if cores < (os.cpu_count() or 1):
        # PoCL starts a thread for each core of the machine, also for those that this process may not use.
        for name in ("POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT"):  # before PoCL 4, and since
            os.environ.setdefault(name, str(cores))
    try:
        return list(cl.get_platforms())
    except cl.Error:
        raise GpubenchError(f"no OpenCL platform is installed; {pocl.how_to_get()}") from None


def _settle_pocl() -> str | None:
    """Before its devices are asked for; returns why none of them will run a kernel."""
    refused = pocl_target.name_unknown_processor()
    return pocl.missing() or refused


def _describe(device: Any, device_id: str, *, alias: str, kind: Kind, unavailable: str | None) -> DeviceInfo:
    on_host = profile_of(kind).is_host_processor
    total = host.total_memory_bytes() if on_host else int(device.global_mem_size)
    available = host.available_memory_bytes() if on_host else None
    return DeviceInfo(
        id=device_id,
        alias=alias,
        runtime="opencl",
        kind=kind,
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
        numa_node=pci.numa_node(_pci_address(device)),
        has_double="cl_khr_fp64" in device.extensions.split(),
        unavailable=unavailable,
    )


def _kind(device: Any) -> Kind:
    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"


def _pci_address(device: Any) -> str | None:
    """For NVIDIA's and AMD's devices, whose extensions report it."""
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
