"""What OpenCL's drivers report about their devices before these are opened, each of them guarded."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyopencl as cl

from gpubench.devices import host, pci
from gpubench.devices.opencl import drivers, pocl, workarounds
from gpubench.devices.opencl.drivers import Driver
from gpubench.devices.opencl.platforms import Platform, platform_of
from gpubench.devices.profile import Kind, profile_of
from gpubench.results.machine import DeviceInfo, DriverState, DriverStatus

NO_PROFILING = "its driver keeps no time (no event profiling), so nothing can be measured"
NO_DOUBLE = "without 64-bit floating point (fp64): dtype is float unless it is stated"

_MAX_TEXT = 200


class DriverFault(Exception):
    """A driver answers with an error, or with nonsense."""


@dataclass
class Found:
    """The devices of all drivers, and what is known of each driver."""

    devices: list[tuple[Any, DeviceInfo]] = field(default_factory=list)
    drivers: list[DriverStatus] = field(default_factory=list)


def find(libraries: Sequence[str] | None = None) -> Found:
    """Load the drivers with these libraries, or all; the first call in a process decides which are loaded.

    A driver that answers with errors does not affect the others. One that crashes or hangs does.
    """
    chosen = [each for each in drivers.installed() if libraries is None or each.library in libraries]
    workarounds.limit_threads()
    with drivers.loading(chosen):
        loaded = _platforms()
    found = Found()
    used: Counter[str] = Counter()
    for driver in chosen:
        faults: list[str] = []
        devices = list(_devices_of(driver, loaded, used, faults))
        found.devices += devices
        found.drivers.append(_status(driver, len(devices), faults))
    return found


def _status(driver: Driver, devices: int, faults: list[str]) -> DriverStatus:
    reason = "; ".join(faults) or (None if devices else "it finds no device that it can use")
    state: DriverState = "ready" if devices else "failed" if faults else "empty"
    return DriverStatus(driver.source, driver.library, state, reason)


def _platforms() -> dict[int, Any]:
    """By their addresses."""
    try:
        return {platform.int_ptr: platform for platform in cl.get_platforms()}
    except cl.Error:
        return {}


def _devices_of(
    driver: Driver, loaded: Mapping[int, Any], used: Counter[str], faults: list[str]
) -> Iterator[tuple[Any, DeviceInfo]]:
    """What cannot be used is added to ``faults``; ``used`` counts the numbers given to devices so far."""
    addresses = drivers.platforms_of(driver)
    if isinstance(addresses, str):
        faults.append(addresses)
        return
    kinds: Counter[str] = Counter()  # within the driver: another one that is installed changes no alias
    for address in addresses:
        try:
            platform, devices = _platform(loaded.get(address))
        except DriverFault as fault:
            faults.append(str(fault))
            continue
        is_copy = platform.in_wheels and not driver.in_environment
        slug = f"{driver.stem}-system" if is_copy else driver.stem
        for device in devices:
            number = used[slug]
            used[slug] += 1  # of one that fails too: it must not change the ids of others
            try:
                with _guarded(f"device {number}"):
                    kind = _kind(device)
                    info = _describe(device, f"opencl:{slug}:{number}", f"opencl-{kind}{kinds[kind]}", kind)
                    more = {"platform": platform.label, "simulated": platform.simulates}
                    yield device, msgspec.structs.replace(info, library=driver.library, **more)
                    kinds[kind] += 1
            except DriverFault as fault:
                faults.append(str(fault))


def _platform(loaded: Any) -> tuple[Platform, list[Any]]:
    """Whose it is, and its devices; raises ``DriverFault``."""
    if loaded is None:
        raise DriverFault("OpenCL's loader does not list its platform")
    with _guarded("its platform"):
        platform = platform_of(_text(loaded.name))
        if platform.label == "PoCL":
            workarounds.name_unknown_processor()  # before its devices are asked for
        return platform, loaded.get_devices()


@contextlib.contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Raises ``DriverFault``: for nonsense, PyOpenCL raises errors of all kinds."""
    try:
        yield
    except UnicodeDecodeError:
        raise DriverFault(f"{what} has a text that is not UTF-8") from None
    except Exception as error:
        raise DriverFault(f"{what} does not answer: {_text(str(error) or type(error).__name__)}") from None


def _describe(device: Any, device_id: str, alias: str, kind: Kind) -> DeviceInfo:
    on_host = profile_of(kind).is_host_processor
    total = host.total_memory_bytes() if on_host else int(device.global_mem_size)
    available = host.available_memory_bytes() if on_host else None
    name = _text(device.name)
    has_double = "cl_khr_fp64" in device.extensions.split()
    return DeviceInfo(
        id=device_id,
        alias=alias,
        runtime="opencl",
        kind=kind,
        name=host.describe_host().processor or name if on_host else name,
        hardware_id="host" if on_host else _pci_address(device) or device_id,
        vendor=_text(device.vendor),
        driver=_text(device.driver_version),
        runtime_version=_text(device.platform.version),
        compute_units=int(device.max_compute_units),
        memory_bytes=total,
        memory_used_bytes=total - available if total is not None and available is not None else None,
        max_allocation_bytes=int(device.max_mem_alloc_size),
        # What OpenCL calls the global memory's cache is not the last level on GPUs.
        last_level_cache_bytes=host.last_level_cache_bytes() if on_host else None,
        pci_bus_id=_pci_address(device),
        numa_node=pci.numa_node(_pci_address(device)),
        has_double=has_double,
        unavailable=_unavailable(device),
        max_group_size=min(int(device.max_work_group_size), *map(int, device.max_work_item_sizes[:1])),
        notes=[] if has_double else [NO_DOUBLE],
    )


def _unavailable(device: Any) -> str | None:
    """Why it will run no kernel, or tell no time; null if nothing is known to be in the way."""
    if not device.available:
        return "its driver reports that it is not available"
    if not device.compiler_available:
        return "its driver has no compiler, so it cannot run kernels"
    if not device.queue_properties & cl.command_queue_properties.PROFILING_ENABLE:
        return NO_PROFILING
    if platform_of(_text(device.platform.name)).label == "PoCL":
        return workarounds.name_unknown_processor() or pocl.missing()
    return None


def _kind(device: Any) -> Kind:
    """Drivers that run kernels on the processor say so, and some of them that they are a GPU as well."""
    if device.type & cl.device_type.CPU:
        return "cpu"
    return "gpu" if device.type & cl.device_type.GPU else "accelerator"


def _pci_address(device: Any) -> str | None:
    """For devices whose extensions report it."""
    try:
        bus, slot, domain = device.pci_bus_id_nv, device.pci_slot_id_nv, device.pci_domain_id_nv
        # The number of the device, without its function: 6 for 00:06.0 (driver 580).
        return pci.format_address(domain, bus, slot, 0)
    except (cl.Error, AttributeError):
        pass
    try:
        topology = device.topology_amd
        return pci.format_address(0, topology.bus, topology.device, topology.function)
    except (cl.Error, AttributeError):
        return None


def _text(reported: str) -> str:
    """On one line, of printable characters, and not longer than anybody reads."""
    return "".join(c if c.isprintable() else "?" for c in reported.strip("\0 \n"))[:_MAX_TEXT].strip()
