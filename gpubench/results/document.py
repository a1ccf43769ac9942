"""The run document: what is kept of a run, the same for every outcome.

Units stand in the names. What is not known is null, never 0 and never a guess. One document is
one JSON object; ``schema`` says which version of this file wrote it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gpubench.errors import GpubenchError

SCHEMA = 1

Outcome = Literal["ok", "failed", "cancelled", "timeout", "device_lost", "unverified"]
Status = Literal["ok", "failed", "cancelled", "timeout", "skipped", "unverified"]
Flag = Literal[
    "cached_footprint",
    "cache_unknown",
    "over_theory",
    "unstable",
    "drifting",
    "clock_limited",
    "power_limited",
    "thermal_limited",
    "contended",
    "unverified",
]


class _Record(msgspec.Struct, frozen=True):
    """Documents of a newer program may hold more fields; they are read and ignored."""


class DeviceInfo(_Record, frozen=True):
    """A place where bytes move, and what is known of it.

    ``hardware_id`` is equal for two runtimes' views of one piece of hardware (PCI address, or
    ``host``). ``unavailable`` says why a device that exists cannot be opened. Without ``has_double``
    kernels have no 64-bit floating point.
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
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    has_double: bool = True
    unavailable: str | None = None


class RuntimeStatus(_Record, frozen=True):
    """Whether a runtime works here, and if not, why and what to do."""

    name: Literal["cuda", "opencl"]
    available: bool
    reason: str | None = None


class Host(_Record, frozen=True):
    processor: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None
    python: str | None = None


class Clocks(_Record, frozen=True):
    """Live clocks; GDDR and HBM data rates are 2 x ``memory_hz`` on NVIDIA devices."""

    memory_hz: int | None = None
    compute_hz: int | None = None


class Environment(_Record, frozen=True):
    program_version: str
    kernel_source_hash: str
    driver: str | None = None
    runtime: str | None = None
    compiler: str | None = None
    clocks_before: Clocks = msgspec.field(default_factory=Clocks)
    clocks_after: Clocks = msgspec.field(default_factory=Clocks)
    host: Host = msgspec.field(default_factory=Host)


class Theory(_Record, frozen=True):
    """What the memory should reach.

    ``peak_bytes_per_second`` = data rate x bus width / 8. ``source``: ``device`` from the
    device's own clock and width, ``catalog`` from its board's row, ``stated`` by the user.
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
    notes: list[str] = msgspec.field(default_factory=list)


class TelemetrySample(_Record, frozen=True):
    """One look at the device; ``seconds`` since the run began."""

    seconds: float
    memory_clock_hz: int | None = None
    compute_clock_hz: int | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    limits: list[str] = msgspec.field(default_factory=list)


class Usage(_Record, frozen=True):
    """How much others use a device while we do not; null where its runtime cannot tell.

    ``others_busy_ratio`` is of the host's processor time, ``kernels_busy_ratio`` of the time in
    which a GPU ran any kernel; both 0 to 1.
    """

    others_busy_ratio: float | None = None
    kernels_busy_ratio: float | None = None
    other_processes: int | None = None


class IdleGate(_Record, frozen=True):
    """Whether the device was idle before the run, how long that took, and the last look at it."""

    idle: bool
    waited_seconds: float
    usage: Usage


class Telemetry(_Record, frozen=True):
    """What was watched while measuring, and before it.

    ``others_busy_ratio`` is the share of the host's processor time that other programs (and, on
    a virtual machine, the host below) used meanwhile, 0 to 1; of a run, the most in any of the parts
    that were watched.
    """

    samples: list[TelemetrySample] = msgspec.field(default_factory=list)
    energy_joules: float | None = None
    other_processes: int | None = None
    others_busy_ratio: float | None = None
    ecc_errors_uncorrected: int | None = None
    absent: str | None = None
    before: IdleGate | None = None


class Shape(_Record, frozen=True):
    """How a kernel walks through memory (design: kernels).

    ``order``: ``tile`` gives each group one contiguous tile, ``halves`` too, of which it walks both halves
    side by side; ``grid`` lets all groups stride together. ``groups`` is null where there is one group for
    each chunk.
    """

    vector_bytes: int
    unroll: int
    group_size: int
    order: Literal["tile", "halves", "grid"]
    streaming_stores: bool
    groups: int | None


class Trial(_Record, frozen=True):
    shape: Shape
    bandwidth_bytes_per_second: float | None
    samples_seconds: list[float] = msgspec.field(default_factory=list)
    reason: str | None = None


class Tuning(_Record, frozen=True):
    """The table of trials for one class of kernels, and what was chosen from it."""

    access: Literal["read", "write", "copy", "mix"]
    benchmark: str
    dtype: str
    footprint_bytes: int
    chosen: Shape
    trials: list[Trial]


class Summary(_Record, frozen=True):
    """Median, its 95 % interval (``low`` to ``high``), and the spread of the samples."""

    median: float
    low: float
    high: float
    min: float
    max: float
    p5: float
    p95: float


class Efficiency(_Record, frozen=True):
    """Measured / theoretical, 0 to 1: of the nominal peak, and of the peak at the live clock."""

    nominal: float | None = None
    live_clock: float | None = None


class Mismatch(_Record, frozen=True):
    """An element that is not what it should be; the bits are hexadecimal.

    ``reread`` is what a second read gave, null where there was none.
    """

    index: int
    expected: str
    actual: str
    reread: str | None = None


class Measurement(_Record, frozen=True):
    """One benchmark at one set of parameters.

    ``payload_bytes`` and ``bus_bytes`` are those of one sample: what the user moved, and what
    must cross the memory bus; of a footprint that a cache holds, the way to that cache, and of a
    transfer the link. Bandwidth is ``bus_bytes`` over the sample's seconds. ``accesses`` are
    those of one sample, where they are counted: dependent ones give ``latency_seconds``, the time of
    one. ``trend_ratio`` is how much longer the last third's samples took than the first's. ``axes`` are
    the place on a curve, by which runs are compared; ``places`` say what is another in each run, such as
    when a window began.
    """

    benchmark: str
    parameters: dict[str, Any]
    status: Status
    reason: str | None = None
    axes: dict[str, int | float | str] = msgspec.field(default_factory=dict)
    places: dict[str, int | float] = msgspec.field(default_factory=dict)
    quantity: str = "bandwidth"
    unit: str = "byte/s"
    footprint_bytes: int | None = None
    payload_bytes: int | None = None
    bus_bytes: int | None = None
    accesses: int | None = None
    passes_per_sample: int | None = None
    shape: Shape | None = None
    samples_seconds: list[float] = msgspec.field(default_factory=list)
    bandwidth_bytes_per_second: Summary | None = None
    latency_seconds: Summary | None = None
    effective_samples: float | None = None
    autocorrelation: float | None = None
    trend_ratio: float | None = None
    bimodal: bool = False
    verified: bool = False
    mismatches: int | None = None
    first_mismatches: list[Mismatch] = msgspec.field(default_factory=list)
    flags: list[Flag] = msgspec.field(default_factory=list)
    efficiency_ratio: Efficiency = msgspec.field(default_factory=Efficiency)
    stopped_because: str | None = None
    warm_up_seconds: float | None = None
    default_parameters: bool = True


class Finding(_Record, frozen=True):
    """What the points of a benchmark say together, such as where a curve has a step.

    ``name`` is for programs, ``text`` for people; ``value`` is in ``unit``, null where it is no number.
    """

    benchmark: str
    name: str
    text: str
    value: float | None = None
    unit: str | None = None


class ErrorInfo(_Record, frozen=True):
    kind: str
    code: int
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: GpubenchError) -> ErrorInfo:
        return cls(error.kind, error.code, error.message, error.retryable)


class RunDocument(_Record, frozen=True, kw_only=True):
    """Everything that is kept of a run. ``explanations`` say what each of its benchmarks does."""

    schema: int = SCHEMA
    run_id: str
    outcome: Outcome
    error: ErrorInfo | None = None
    key: str | None = None
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    requested: list[dict[str, Any]] = msgspec.field(default_factory=list)
    device: DeviceInfo | None = None
    environment: Environment | None = None
    theory: Theory | None = None
    tuning: list[Tuning] = msgspec.field(default_factory=list)
    telemetry: Telemetry = msgspec.field(default_factory=Telemetry)
    measurements: list[Measurement] = msgspec.field(default_factory=list)
    findings: list[Finding] = msgspec.field(default_factory=list)
    explanations: dict[str, str] = msgspec.field(default_factory=dict)


def encode_document(document: RunDocument) -> bytes:
    """Compact JSON, UTF-8; NaN and infinity become null."""
    return msgspec.json.encode(document)


def decode_document(data: bytes | str) -> RunDocument:
    """Read a run document.

    Raises ``msgspec.DecodeError`` where it is no JSON and ``msgspec.ValidationError`` where it is
    no run document; the message names the path of the wrong field.
    """
    return msgspec.json.decode(data, type=RunDocument)
