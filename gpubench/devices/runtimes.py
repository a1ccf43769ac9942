"""The table of runtimes, and what to do if one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gpubench.devices.base import Device, Runtime
from gpubench.devices.opencl import pocl
from gpubench.errors import GpubenchError, MissingDependency, NoSuchDevice
from gpubench.results.machine import DeviceInfo, DriverStatus, RuntimeStatus

RuntimeName = Literal["cuda", "opencl"]
RUNTIMES: tuple[RuntimeName, ...] = ("cuda", "opencl")


# From the checkout: the package named gpubench in the registry is another project.
# PyCUDA is published as source only, and without a CUDA toolkit its build fails with an unclear error.
_HOW_TO_GET_CUDA = (
    "in the checkout: make cuda; with a CUDA toolkit also pip install '.[cuda]'; without make: "
    "python -m gpubench.devices.cuda.build_pycuda wheels && pip install --find-links wheels '.[cuda]'"
)


def load_runtime(name: RuntimeName, libraries: Sequence[str] | None = None) -> Runtime:
    """Import a runtime and look for its devices; with ``libraries`` those of these OpenCL drivers alone.

    Only worker processes call this: what it loads can crash the process. Raises
    ``MissingDependency`` if the extra is not installed, and ``GpubenchError`` if the driver has no devices.
    """
    try:
        if name == "cuda":
            from gpubench.devices.cuda.runtime import CudaRuntime

            return CudaRuntime()
        from gpubench.devices.opencl.runtime import OpenClRuntime

        return OpenClRuntime(libraries)
    except ImportError as error:
        if "libcuda" in str(error):
            raise GpubenchError(f"NVIDIA's driver is not installed here: {error}") from None
        if "undefined symbol" in str(error):
            raise MissingDependency(
                f"PyCUDA was built for a newer CUDA than the driver's ({error}); remove it with "
                f"pip uninstall pycuda, then {_HOW_TO_GET_CUDA}"
            ) from None
        raise MissingDependency(
            f"the {name} runtime is not installed ({error}); "
            f"{_HOW_TO_GET_CUDA if name == 'cuda' else pocl.how_to_get()}"
        ) from None


def survey(
    names: Sequence[RuntimeName], libraries: Sequence[str] | None = None
) -> tuple[list[DeviceInfo], list[RuntimeStatus]]:
    """The devices of these runtimes, and for each runtime whether it works, or why not."""
    devices: list[DeviceInfo] = []
    statuses: list[RuntimeStatus] = []
    for name in names:
        try:
            runtime = load_runtime(name, libraries)
        except GpubenchError as error:
            statuses.append(RuntimeStatus(name=name, available=False, reason=error.message))
            continue
        found = runtime.devices()
        devices += found
        statuses.append(status_of(name, bool(found), runtime.drivers()))
    return devices, statuses


def status_of(name: RuntimeName, has_devices: bool, drivers: Sequence[DriverStatus] = ()) -> RuntimeStatus:
    """Of a runtime that was loaded."""
    reason = None
    if name == "opencl" and not has_devices:
        reason = (
            f"no OpenCL driver here has a device ({len(drivers)} installed)"
            if drivers
            else f"no OpenCL driver is installed; {pocl.how_to_get()}"
        )
    return RuntimeStatus(name=name, available=reason is None, reason=reason, drivers=list(drivers))


def open_device(device_id: str, library: str | None = None) -> Device:
    """Open a device by its id; raises ``NoSuchDevice``.

    With the ``library`` of its driver no other driver is loaded, whatever is installed.
    """
    name = device_id.partition(":")[0]
    for runtime in RUNTIMES:
        if name == runtime:
            return load_runtime(runtime, [library] if library else None).open(device_id)
    raise NoSuchDevice(f"no device {device_id!r}: ids begin with {' or '.join(f'{r}:' for r in RUNTIMES)}")
