"""The machine in the run document: its devices, their telemetry, and their use by other programs."""

from __future__ import annotations

from typing import Literal

import msgspec


class Record(msgspec.Struct, frozen=True):
    """Documents of a newer program may hold more fields; they are read and ignored."""


class DeviceInfo(Record, frozen=True):
    """A device and what is known of it.

    ``hardware_id`` is equal for two runtimes' views of one piece of hardware (PCI address, or
    ``host``). ``unavailable`` is the reason why a device that exists cannot be opened. Without ``has_double``
    kernels have no 64-bit floating point. ``integrated`` memory is the host's. ``pci_device_id`` is
    vendor and device, such as ``10de:2b85``. ``numa_node`` is the host's node that the device is attached to.
    ``platform`` is whose OpenCL it is, such as ``PoCL``, and ``library`` the file of that driver. A
    ``simulated`` device is a program that stands for one: its figures are the program's.
    ``board_share_ratio`` is the share of a board's memory and bus that a part of it (MIG) has. ``notes`` are
    sentences on what is particular here.
    """

    id: str
    alias: str
    runtime: Literal["cuda", "opencl"]
    kind: Literal["gpu", "cpu", "accelerator"]
    name: str
    hardware_id: str
    vendor: str | None = None
    driver: str | None = None
    runtime_version: str | None = None
    compute_units: int | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    max_allocation_bytes: int | None = None
    last_level_cache_bytes: int | None = None
    bus_width_bits: int | None = None
    memory_clock_hz: int | None = None
    ecc_enabled: bool | None = None
    pci_bus_id: str | None = None
    pci_device_id: str | None = None
    integrated: bool | None = None
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    numa_node: int | None = None
    power_limit_watts: float | None = None
    has_double: bool = True
    unavailable: str | None = None
    platform: str | None = None
    library: str | None = None
    simulated: bool = False
    max_group_size: int | None = None
    board_share_ratio: float | None = None
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def driver_name(self) -> str:
        """Whose driver it is and its version, such as ``PoCL 7.1``: several may drive the same hardware."""
        maker = "NVIDIA" if self.runtime == "cuda" else self.runtime.upper()
        return " ".join(filter(None, (self.platform or maker, self.driver)))


DriverState = Literal["ready", "empty", "failed", "lost"]


class DriverStatus(Record, frozen=True):
    """A driver that is installed: ``source`` is the file that names its ``library``.

    It is ``ready`` with its devices; ``empty`` if it finds none; ``failed`` if it cannot be loaded or answers
    with errors; ``lost`` if it crashed or hung. ``reason`` says why it is not ready, or what of it is not.
    """

    source: str
    library: str
    state: DriverState
    reason: str | None = None


class RuntimeStatus(Record, frozen=True):
    """Whether a runtime works on this machine, and if not, why and what to do.

    ``drivers`` are all that a runtime with several of them found installed.
    """

    name: Literal["cuda", "opencl"]
    available: bool
    reason: str | None = None
    drivers: list[DriverStatus] = msgspec.field(default_factory=list)


class Host(Record, frozen=True):
    """``cores`` is how many the process may use; a quota of processor time may allow fewer.

    ``memory_bytes`` is at most ``memory_limit_bytes``, the limit of the control groups, if there is one.
    ``huge_pages`` is the system's setting: how much memory truly was on them is with each measurement.
    ``numa_nodes`` are those whose memory the process may use, of ``numa_nodes_online`` nodes.
    """

    processor: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None
    python: str | None = None
    name: str | None = None
    cores_online: int | None = None
    quota_cores: float | None = None
    memory_limit_bytes: int | None = None
    huge_pages: str | None = None
    page_bytes: int | None = None
    numa_nodes: list[int] | None = None
    numa_nodes_online: int | None = None


class Clocks(Record, frozen=True):
    """Live clocks; GDDR and HBM data rates are 2 x ``memory_hz`` on NVIDIA devices."""

    memory_hz: int | None = None
    compute_hz: int | None = None


class Environment(Record, frozen=True):
    """``notes`` say what was unusual on the way, such as a damaged cache of compiled kernels."""

    program_version: str
    kernel_source_hash: str
    driver: str | None = None
    runtime: str | None = None
    compiler: str | None = None
    clocks_before: Clocks = msgspec.field(default_factory=Clocks)
    clocks_after: Clocks = msgspec.field(default_factory=Clocks)
    host: Host = msgspec.field(default_factory=Host)
    notes: list[str] = msgspec.field(default_factory=list)


class Theory(Record, frozen=True):
    """What the memory should reach.

    ``peak_bytes_per_second`` = data rate x bus width / 8. ``source``: ``device`` from the
    device's own clock and width, ``catalog`` from its board's row, ``stated`` by the user.
    ``memory_clock_offset_hz`` is the live memory clock less the nominal one, over the run: above 0 if the
    memory is overclocked.
    """

    source: Literal["device", "catalog", "stated"]
    peak_bytes_per_second: float
    data_rate_bits_per_second: float
    bus_width_bits: int
    technology: str | None = None
    family: str | None = None
    board: str | None = None
    catalog_peak_bytes_per_second: float | None = None
    published_bytes_per_second: float | None = None
    live_clock_peak_bytes_per_second: float | None = None
    memory_clock_offset_hz: float | None = None
    notes: list[str] = msgspec.field(default_factory=list)


class TelemetrySample(Record, frozen=True):
    """One reading of the device; ``seconds`` since the run began."""

    seconds: float
    memory_clock_hz: int | None = None
    compute_clock_hz: int | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    limits: list[str] = msgspec.field(default_factory=list)


class Usage(Record, frozen=True):
    """How much other programs use a device while this one does not; null if its runtime does not report it.

    ``others_busy_ratio`` is the share of the host's processor time, ``kernels_busy_ratio`` the share of the
    time in which a GPU ran any kernel or drew, ``memory_busy_ratio`` that in which its memory was read or
    written; all 0 to 1. ``other_processes`` compute on it; ``processes`` are the names of those and of those
    that draw.
    """

    others_busy_ratio: float | None = None
    kernels_busy_ratio: float | None = None
    other_processes: int | None = None
    memory_busy_ratio: float | None = None
    processes: list[str] = msgspec.field(default_factory=list)


class IdleGate(Record, frozen=True):
    """Whether the device was idle before the run, how long the run waited for it, and the last reading."""

    idle: bool
    waited_seconds: float
    usage: Usage


class Telemetry(Record, frozen=True):
    """What was watched while measuring, and before it.

    ``others_busy_ratio`` is the share of the host's processor time that other programs (and, on
    a virtual machine, the host below) used meanwhile, 0 to 1; for a run, the highest of all parts that were
    watched. ``throttled_seconds`` is how long a quota of processor time throttled threads, summed over
    them; null without a quota. ``others_device_busy_ratio`` is the share of the time in which a GPU worked
    for the busiest of the other programs, and ``processes`` are the names of all of them.
    """

    samples: list[TelemetrySample] = msgspec.field(default_factory=list)
    energy_joules: float | None = None
    other_processes: int | None = None
    others_busy_ratio: float | None = None
    throttled_seconds: float | None = None
    ecc_errors_uncorrected: int | None = None
    absent: str | None = None
    before: IdleGate | None = None
    others_device_busy_ratio: float | None = None
    processes: list[str] = msgspec.field(default_factory=list)
