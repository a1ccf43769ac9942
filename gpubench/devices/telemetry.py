"""What NVML reports about a GPU while it is measured: clocks, power, temperature, limits.

Any call may be unsupported by a card or driver, or not permitted: each is made by itself, and a value that
is not available is null. Names and units are those of nvml.h. On an H100 and an H200, asking 20 times
a second slows copies by less than 0.2 %: 0.99995 and 1.00005 of the time (`make gpu-check`).
"""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import PurePath
from typing import Any

from gpubench.devices import host
from gpubench.results.machine import Clocks, Telemetry, TelemetrySample, Usage

PERIOD_SECONDS = 0.05

MIN_ENERGY_SECONDS = 1.0
"""The energy counter moves in coarse steps; over a shorter time its difference is too inaccurate."""

UTILISATION_SECONDS = 1.0
"""The longest sampling period of the utilisation, which is 1/6 s to 1 s (nvml.h at ``nvmlUtilization_t``)."""

MAX_NAMED_PROCESSES = 8
"""In a run document."""

_MPS_SERVER = "nvidia-cuda-mps-server"

_IDLE = "nvmlClocksEventReasonGpuIdle"
_LIMITS = {
    # Names of NVML's clock event reasons, and what they mean to a reader of the figure.
    "nvmlClocksEventReasonSwPowerCap": "power",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power",
    "nvmlClocksEventReasonSwThermalSlowdown": "thermal",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "thermal",
    # Heat, power, or an external signal: NVML does not report which.
    "nvmlClocksThrottleReasonHwSlowdown": "hardware_slowdown",
    "nvmlClocksEventReasonApplicationsClocksSetting": "application_clocks",
    "nvmlClocksEventReasonSyncBoost": "sync_boost",
    "nvmlClocksEventReasonDisplayClockSetting": "display",
}


class Nvml:
    """NVML's view of one GPU; all null if the library or the module is missing (``absent``).

    May be used from several threads, like NVML itself. NVML's handle of a part of a GPU (MIG) is that of the
    whole board: what it reports of that part's neighbours as well is null for a ``part``.
    """

    def __init__(self, pci_bus_id: str, *, part: bool = False) -> None:
        self._part = part
        self._nvml: Any = None
        self._handle: Any = None
        self.absent: str | None = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id.encode())
            self._nvml = pynvml
        except ImportError:
            self.absent = "nvidia-ml-py is not installed: pip install '.[cuda]' in the checkout"
        except Exception as error:  # NVMLError and its many subclasses, made at run time
            self.absent = f"NVML: {error}"
            if host.is_jetson():
                self.absent += (
                    "; a Jetson has NVML from JetPack 7 on, so clocks and power are not watched here"
                )

    def driver(self) -> str | None:
        """Such as ``580.65.06``."""
        version = self._ask("nvmlSystemGetDriverVersion", of_device=False)
        return version.decode(errors="replace") if isinstance(version, bytes) else version

    def pci_device_id(self) -> str | None:
        """Vendor and device, such as ``10de:2b85``; NVML has the device in the upper half."""
        found = self._ask("nvmlDeviceGetPciInfo")
        number = int(getattr(found, "pciDeviceId", 0))
        return f"{number & 0xFFFF:04x}:{number >> 16:04x}" if number else None

    def memory_used_bytes(self) -> int | None:
        """By all programs, and by the driver itself."""
        memory = self._ask_if_whole("nvmlDeviceGetMemoryInfo")
        return int(memory.used) if memory is not None else None

    def board_memory_bytes(self) -> int | None:
        """Of the whole board, also of a part."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return int(memory.total) if memory is not None else None

    def is_confidential(self) -> bool:
        """Whether the GPU's and the host's memory are protected from each other (confidential computing)."""
        state = self._ask("nvmlSystemGetConfComputeState", of_device=False)
        return bool(getattr(state, "ccFeature", 0))

    def bus_width_bits(self) -> int | None:
        return self._ask("nvmlDeviceGetMemoryBusWidth") or None

    def max_memory_clock_hz(self) -> int | None:
        return self._hertz("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_MEM")

    def power_limit_watts(self) -> float | None:
        """The limit that is enforced now, which an administrator may have lowered."""
        milliwatts = self._ask_if_whole("nvmlDeviceGetEnforcedPowerLimit")
        return milliwatts / 1000 if milliwatts is not None else None

    def pcie_link(self) -> tuple[int | None, int | None]:
        """The highest generation and lanes that the GPU and its slot allow: an idle link is slowed down.

        Null if copies from and to the host use NVLink between two chips of one module instead.
        """
        between_chips = self._ask("nvmlDeviceGetC2cModeInfoV")
        if between_chips is not None and between_chips.isC2cEnabled:
            return None, None
        return self._at_most("PcieLinkGeneration"), self._at_most("PcieLinkWidth")

    def clocks(self) -> Clocks:
        return Clocks(
            memory_hz=self._hertz("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
            compute_hz=self._hertz("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
        )

    def sample(self, seconds: float) -> TelemetrySample | None:
        """One reading; null if the GPU idles, because that is not a state of the measurement."""
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # the name before R535
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        reasons = reasons or 0
        if reasons & self._constant(_IDLE):
            return None
        clocks, milliwatts = self.clocks(), self._ask_if_whole("nvmlDeviceGetPowerUsage")
        return TelemetrySample(
            seconds=round(seconds, 4),
            memory_clock_hz=clocks.memory_hz,
            compute_clock_hz=clocks.compute_hz,
            power_watts=milliwatts / 1000 if milliwatts is not None else None,
            temperature_celsius=self._temperature(),
            limits=sorted({word for name, word in _LIMITS.items() if reasons & self._constant(name)}),
        )

    def energy_joules(self) -> float | None:
        """Since the driver was loaded."""
        millijoules = self._ask_if_whole("nvmlDeviceGetTotalEnergyConsumption")
        return millijoules / 1000 if millijoules is not None else None

    def other_processes(self) -> int | None:
        """Other programs that compute on the GPU; this one holds a context there.

        One is subtracted from the count, rather than this process id from the list: in a container NVML may
        report process ids of the host. An empty list lacks this process, so it may lack others too.
        """
        computing = self._computing()
        return len(computing) - 1 if computing else None

    def processes(self) -> list[str]:
        """Other programs that compute on the GPU or draw with it, such as ``gnome-shell (process 1234)``.

        Empty also if NVML's process ids are not those of this container: then this process is not among them.
        """
        computing = self._computing()
        if os.getpid() not in computing:
            return []
        others = sorted((computing | self._pids("Graphics")) - {os.getpid()})
        return [self._named(pid) for pid in others[:MAX_NAMED_PROCESSES]]

    def holders(self) -> list[str]:
        """The programs that compute on the GPU, for one that cannot because of them."""
        return [self._named(pid) for pid in sorted(self._computing())[:MAX_NAMED_PROCESSES]]

    def uses_mps(self) -> bool:
        """Whether programs reach the GPU through a server that merges their work (MPS)."""
        return any(self._process_name(pid) == _MPS_SERVER for pid in self._pids("Compute"))

    def usage(self, idle_seconds: float = math.inf) -> Usage:
        """How much other programs use the GPU, to which this one gave no work for ``idle_seconds``.

        The utilisation covers the last second at most: if this program worked then, it is unknown for others.
        """
        rates = (
            self._ask_if_whole("nvmlDeviceGetUtilizationRates")
            if idle_seconds >= UTILISATION_SECONDS
            else None
        )
        return Usage(
            kernels_busy_ratio=rates.gpu / 100 if rates is not None else None,
            other_processes=self.other_processes(),
            memory_busy_ratio=rates.memory / 100 if rates is not None else None,
            processes=self.processes(),
        )

    def others_busy_ratio(self, since_microseconds: int) -> float | None:
        """The most that any other program used the GPU since a time on the host's clock, 0 to 1.

        Null if NVML does not report it by process, or not this process.
        """
        rates = self._ask_if_whole("nvmlDeviceGetProcessUtilization", since_microseconds)
        if not rates or os.getpid() not in {each.pid for each in rates}:
            return None
        others = [max(each.smUtil, each.memUtil) for each in rates if each.pid != os.getpid()]
        return max(others, default=0) / 100

    def ecc_errors_uncorrected(self) -> int | None:
        """Since the driver was loaded."""
        kind, since = "NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_VOLATILE_ECC"
        count = self._ask_if_whole("nvmlDeviceGetTotalEccErrors", self._constant(kind), self._constant(since))
        return int(count) if count is not None else None

    def _computing(self) -> set[int]:
        """Under MPS its server computes, for programs that are in a list of their own."""
        computing, merged = self._pids("Compute"), self._pids("MPSCompute")
        servers = {pid for pid in computing if self._process_name(pid) == _MPS_SERVER} if merged else set()
        return (computing | merged) - servers

    def _named(self, pid: int) -> str:
        return f"{self._process_name(pid)} (process {pid})"

    def _pids(self, kind: str) -> set[int]:
        found = self._ask_if_whole(f"nvmlDeviceGet{kind}RunningProcesses")
        return {int(each.pid) for each in found or []}

    def _process_name(self, pid: int) -> str:
        """Without its folder and options, which are nobody's business."""
        found = self._ask("nvmlSystemGetProcessName", pid, of_device=False)
        text = found.decode(errors="replace") if isinstance(found, bytes) else found or "unknown"
        return PurePath(text.partition(" -")[0]).name or "unknown"

    def _at_most(self, what: str) -> int | None:
        """Maximum or current, the higher: a virtual machine may report a maximum below the current value."""
        return max(self._ask(f"nvmlDeviceGet{which}{what}") or 0 for which in ("Max", "Curr")) or None

    def _temperature(self) -> float | None:
        sensor = self._constant("NVML_TEMPERATURE_GPU")
        found = self._ask("nvmlDeviceGetTemperatureV", sensor)
        if found is None:  # its name in older drivers
            found = self._ask("nvmlDeviceGetTemperature", sensor)
        return float(found) if found is not None else None

    def _hertz(self, function: str, domain: str) -> int | None:
        megahertz = self._ask(function, self._constant(domain))
        return megahertz * 1_000_000 if megahertz else None

    def _constant(self, name: str) -> int:
        return int(getattr(self._nvml, name, 0))

    def _ask_if_whole(self, function: str, *arguments: int) -> Any:
        return None if self._part else self._ask(function, *arguments)

    def _ask(self, function: str, *arguments: int, of_device: bool = True) -> Any:
        if self._nvml is None:
            return None
        try:
            call = getattr(self._nvml, function)
            return call(self._handle, *arguments) if of_device else call(*arguments)
        except Exception:  # not supported, no permission, not in this driver, not in this module
            return None


class NvmlWatch:
    """Reads a GPU's state periodically, from construction until ``stop``, and once more then.

    A benchmark may end before the first period; the last reading is taken while the clocks are still those
    of the kernels.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._begin = time.monotonic()
        self._begin_microseconds = time.time_ns() // 1000
        self._energy = nvml.energy_joules()
        self._samples: list[TelemetrySample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="telemetry", daemon=True)
        if nvml.absent is None:
            self._thread.start()

    def stop(self) -> Telemetry:
        """May be called once."""
        if self._nvml.absent is not None:
            return Telemetry(absent=self._nvml.absent)
        self._ended.set()
        self._thread.join()
        self._look()
        return Telemetry(
            samples=self._samples,
            energy_joules=self._energy_joules(),
            other_processes=self._nvml.other_processes(),
            ecc_errors_uncorrected=self._nvml.ecc_errors_uncorrected(),
            others_device_busy_ratio=self._nvml.others_busy_ratio(self._begin_microseconds),
            processes=self._nvml.processes(),
        )

    def _energy_joules(self) -> float | None:
        now = self._nvml.energy_joules()
        if now is None or self._energy is None or time.monotonic() - self._begin < MIN_ENERGY_SECONDS:
            return None
        return now - self._energy

    def _look_on(self) -> None:
        while not self._ended.wait(PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        sample = self._nvml.sample(time.monotonic() - self._begin)
        if sample is not None:
            self._samples.append(sample)
