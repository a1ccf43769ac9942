"""The run document: what is kept of a run, the same for every outcome.

Names include the unit. What is not known is null, never 0 and never a guess. One document is
one JSON object; ``schema`` is its version (``versions.py``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gpubench import typed
from gpubench.errors import GpubenchError, InvalidDocument
from gpubench.flags import Flag
from gpubench.results import versions
from gpubench.results.machine import DeviceInfo, Environment, Record, Telemetry, Theory
from gpubench.text import as_utf8

Outcome = Literal["ok", "failed", "cancelled", "timeout", "device_lost", "unverified"]
Status = Literal["ok", "failed", "cancelled", "timeout", "skipped", "unverified"]


class Shape(Record, frozen=True):
    """How a kernel walks through memory.

    ``order``: ``tile`` gives each group one contiguous tile; so does ``halves``, but each group walks both
    halves of its tile side by side; in ``grid`` order all groups stride through memory together. ``groups``
    is null if there is one group for each chunk.
    """

    vector_bytes: int
    unroll: int
    group_size: int
    order: Literal["tile", "halves", "grid"]
    streaming_stores: bool
    groups: int | None


class Trial(Record, frozen=True):
    shape: Shape
    bandwidth_bytes_per_second: float | None
    samples_seconds: list[float] = msgspec.field(default_factory=list)
    reason: str | None = None


class Tuning(Record, frozen=True):
    """The table of trials for one kernel, and the shape chosen from it."""

    access: Literal["read", "write", "copy", "mix"]
    benchmark: str
    dtype: str
    footprint_bytes: int
    chosen: Shape
    trials: list[Trial]


class Summary(Record, frozen=True):
    """Median, its 95 % interval (``low`` to ``high``), and the spread of the samples."""

    median: float
    low: float
    high: float
    min: float
    max: float
    p5: float
    p95: float


class Efficiency(Record, frozen=True):
    """Measured / theoretical, 0 to 1: of the nominal peak, and of the peak at the live clock."""

    nominal: float | None = None
    live_clock: float | None = None


class Mismatch(Record, frozen=True):
    """An element with a wrong value; the bits are hexadecimal.

    ``reread`` is the result of a second read, null if there was none.
    """

    index: int
    expected: str
    actual: str
    reread: str | None = None


class Measurement(Record, frozen=True):
    """One benchmark at one set of parameters.

    ``payload_bytes`` and ``bus_bytes`` are those of one sample: what the user moved, and what
    must cross the memory bus, or for a footprint that fits into a cache, the connection to that cache, or
    for a transfer, the link. Bandwidth is ``bus_bytes`` over the sample's seconds. ``accesses`` is
    their number in one sample, if they are counted: dependent ones give ``latency_seconds``, the time of
    one. ``trend_ratio`` is how much longer the last third's samples took than the first's. ``axes`` are
    the position on a curve, by which runs are compared; ``places`` are positions that differ between runs,
    such as when a window began. ``discarded_samples`` are not among the samples: the device began them before
    the host had queued them, so that they timed the host. ``huge_page_ratio`` is the share of the run's
    memory that truly was on huge pages, 0 to 1; null if it was not the host's. ``stopped_because`` is why the
    series of samples ended, as a sentence; ``stop_code``, ``stop_unmet_code`` and ``stop_values`` are the
    same for programs (docs/run-document.md lists the codes).
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
    stop_code: str | None = None
    stop_unmet_code: str | None = None
    stop_values: dict[str, int | float | None] = msgspec.field(default_factory=dict)
    warm_up_seconds: float | None = None
    huge_page_ratio: float | None = None
    default_parameters: bool = True
    discarded_samples: int = 0


class Finding(Record, frozen=True):
    """A result derived from all points of a benchmark, such as where a curve has a step.

    ``name`` is for programs, ``text`` for people; ``value`` is in ``unit``, null if it is not a number.
    """

    benchmark: str
    name: str
    text: str
    value: float | None = None
    unit: str | None = None


class ErrorInfo(Record, frozen=True):
    kind: str
    code: int
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: GpubenchError) -> ErrorInfo:
        return cls(error.kind, error.code, error.message, error.retryable)


class RunDocument(Record, frozen=True, kw_only=True):
    """Everything that is kept of a run. ``explanations`` describe what each of its benchmarks does.

    ``labels`` are the user's own, such as ``node``.
    """

    schema: Annotated[int, Meta(extra_json_schema={"enum": list(versions.DESCRIBED)})] = versions.SCHEMA
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
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def driver(self) -> str | None:
        """The driver's version as it was when the run was made, else as the device reports it."""
        recorded = self.environment.driver if self.environment else None
        return recorded or (self.device.driver if self.device else None)


def encode_document(document: RunDocument) -> bytes:
    """Compact JSON, UTF-8; NaN and infinity become null."""
    return msgspec.json.encode(document)


def decode_document(data: bytes | str | msgspec.Raw, source: str = "the data") -> RunDocument:
    """Read a run document of this program's version or an older one; errors call it ``source``.

    Raises ``InvalidDocument`` if it is damaged or not a run document, and ``UnsupportedDocument`` if a newer
    program wrote it.
    """
    try:
        if isinstance(data, bytes):
            data = as_utf8(data)
        if typed.decode(data, _Version).schema == versions.SCHEMA:
            return typed.decode(data, RunDocument)
        fields = msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        where = f"its bytes from {error.start} on are not {error.encoding.upper()}"
        raise InvalidDocument(f"{source} is not a run document: {where}") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidDocument(f"{source} is not a run document: {error}") from None
    return convert_document(fields, source)


def convert_document(fields: versions.Fields, source: str) -> RunDocument:
    """As ``decode_document``, for JSON that is already decoded."""
    try:
        found = typed.convert(fields, _Version).schema
        return typed.convert(versions.migrate(fields, found, source), RunDocument)
    except msgspec.ValidationError as error:
        raise InvalidDocument(f"{source} is not a run document: {error}") from None


class _Version(msgspec.Struct):
    """The part of a document that decides how the rest is read."""

    schema: Annotated[int, Meta(ge=versions.FIRST)] = versions.FIRST
