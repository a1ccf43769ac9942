"""What NVML tells of a GPU while it is measured: clocks, power, temperature, limits.

Every call may be missing on some card, driver or permission: each is asked alone, and what is not
answered is null. Not yet seen on a GPU.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from gpubench.results.document import Clocks, Telemetry, TelemetrySample

PERIOD_SECONDS = 0.05

Value = TypeVar("Value")

_LIMITS = (
    # Names of NVML's clock event reasons, and what they mean to a reader of the figure.
    ("nvmlClocksEventReasonSwPowerCap", "power"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power"),
    ("nvmlClocksEventReasonSwThermalSlowdown", "thermal"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "thermal"),
)


class Nvml:
    """NVML's view of one GPU; all null where the library or the module is missing."""

    def __init__(self, pci_bus_id: str) -> None:
        self._nvml: Any = None
        self._handle: Any = None
        self.absent: str | None = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id.encode())
            self._nvml = pynvml
        except ImportError:
            self.absent = "nvidia-ml-py is not installed: pip install 'gpubench[cuda]'"
        except Exception as error:  # NVMLError and its many subclasses, made at run time
            self.absent = f"NVML: {error}"

    def clocks(self) -> Clocks:
        return Clocks(memory_hz=self._clock("NVML_CLOCK_MEM"), compute_hz=self._clock("NVML_CLOCK_SM"))

    def sample(self, seconds: float) -> TelemetrySample:
        nvml, clocks = self._nvml, self.clocks()
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(self._handle))
        temperature = self._ask(
            lambda: nvml.nvmlDeviceGetTemperature(self._handle, nvml.NVML_TEMPERATURE_GPU)
        )
        return TelemetrySample(
            seconds=seconds,
            memory_clock_hz=clocks.memory_hz,
            compute_clock_hz=clocks.compute_hz,
            power_watts=power / 1000 if power is not None else None,
            temperature_celsius=temperature,
            limits=self._limits(),
        )

    def energy_joules(self) -> float | None:
        """Since the driver was loaded."""
        millijoules = self._ask(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return millijoules / 1000 if millijoules is not None else None

    def other_processes(self) -> int | None:
        """Programs beside this one that compute on the GPU."""
        found = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return sum(each.pid != os.getpid() for each in found) if found is not None else None

    def ecc_errors_uncorrected(self) -> int | None:
        nvml = self._nvml
        count = self._ask(
            lambda: nvml.nvmlDeviceGetTotalEccErrors(
                self._handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            )
        )
        return int(count) if count is not None else None

    def driver(self) -> str | None:
        version = self._ask(lambda: self._nvml.nvmlSystemGetDriverVersion())
        return version.decode() if isinstance(version, bytes) else version

    def _clock(self, domain: str) -> int | None:
        nvml = self._nvml
        megahertz = self._ask(lambda: nvml.nvmlDeviceGetClockInfo(self._handle, getattr(nvml, domain)))
        return megahertz * 1_000_000 if megahertz else None

    def _limits(self) -> list[str]:
        nvml = self._nvml
        reasons = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        if reasons is None:
            reasons = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
        found = {word for name, word in _LIMITS if (reasons or 0) & getattr(nvml, name, 0)}
        return sorted(found)

    def _ask(self, call: Callable[[], Value]) -> Value | None:
        if self._nvml is None:
            return None
        try:
            return call()
        except Exception:  # not supported, no permission, not in this driver
            return None


class NvmlWatch:
    """Looks at a GPU on a timer, from its making until ``stop``."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._begin = time.monotonic()
        self._energy = nvml.energy_joules()
        self._samples: list[TelemetrySample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="telemetry", daemon=True)
        if nvml.absent is None:
            self._thread.start()

    def stop(self) -> Telemetry:
        self._ended.set()
        if self._nvml.absent is None:
            self._thread.join()
        energy = self._nvml.energy_joules()
        known = energy is not None and self._energy is not None
        return Telemetry(
            samples=self._samples,
            energy_joules=energy - self._energy if known else None,  # type: ignore[operator]
            other_processes=self._nvml.other_processes(),
            ecc_errors_uncorrected=self._nvml.ecc_errors_uncorrected(),
            absent=self._nvml.absent,
        )

    def _look(self) -> None:
        while not self._ended.wait(PERIOD_SECONDS):
            self._samples.append(self._nvml.sample(time.monotonic() - self._begin))
