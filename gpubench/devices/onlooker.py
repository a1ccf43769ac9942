"""Looks at how much a device is used without opening it: no context is made, and nothing runs on it."""

from __future__ import annotations

import time

import msgspec

from gpubench.devices import host
from gpubench.devices.profile import profile_of
from gpubench.devices.telemetry import Nvml
from gpubench.results.machine import DeviceInfo, Usage


class Onlooker:
    """What it cannot see counts as idle: a GPU without NVML, or one of another vendor."""

    def __init__(self, info: DeviceInfo) -> None:
        self._is_host = profile_of(info.kind).is_host_processor
        self._nvml = Nvml(info.pci_bus_id) if info.pci_bus_id and not self._is_host else None

    def usage(self, window_seconds: float) -> Usage:
        """In the next ``window_seconds``, or as NVML reports it for the last ones."""
        if self._is_host:
            return host.usage(window_seconds)
        time.sleep(window_seconds)
        if self._nvml is None:
            return Usage()
        usage = self._nvml.usage()
        # NVML's count is that of a process that computes on the GPU itself, which this one does not.
        others = usage.other_processes
        return msgspec.structs.replace(usage, other_processes=others + 1 if others is not None else None)
