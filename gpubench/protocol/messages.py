"""The messages of the wire: newline-delimited JSON-RPC 2.0, as typed structs.

Requests refuse fields that they do not know; results ignore them, so that an old client can talk
to a new server. Equal program versions are never required, only an equal ``PROTOCOL``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gpubench.results.machine import DeviceInfo, RuntimeStatus

PROTOCOL = 1
"""Raised when an old client could misread a new server."""

DEFAULT_PORT = 7707
DEFAULT_HTTP_PORT = 9707

MAX_REQUEST_BYTES = 64 * 1024
"""A request line with its newline. Requests are small; what is larger is an accident or an attack."""

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""What a client takes: a run document with all samples of a long suite stays well below."""

Method = Literal["hello", "ping", "devices", "benchmarks", "run", "cancel", "status", "result", "results"]

Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a peer asks for: an unknown field is a mistake that must be told."""


class _Tolerant(msgspec.Struct, frozen=True):
    """What a peer tells: unknown fields come from a newer program."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request line; ``params`` is decoded once the method is known."""

    method: str
    jsonrpc: Literal["2.0"]
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class NoParams(_Strict, frozen=True):
    pass


class HelloParams(_Strict, frozen=True):
    protocol: int = PROTOCOL
    client: str | None = None


class BenchmarkRequest(_Strict, frozen=True):
    """A benchmark or a suite by name; ``parameters`` apply to every member of a suite."""

    name: Identifier
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class StatedMemory(_Strict, frozen=True):
    """What the user says the memory is, for devices that cannot tell."""

    technology: Identifier
    bus_width_bits: Annotated[int, Meta(ge=8, le=65_536)]


class RunParams(_Strict, frozen=True):
    benchmarks: Annotated[list[BenchmarkRequest | str], Meta(min_length=1, max_length=64)]
    device: Identifier | None = None
    key: Identifier | None = None
    deadline_seconds: Seconds | None = None
    detach: bool = False
    memory: StatedMemory | None = None


class RunIdParams(_Strict, frozen=True):
    run_id: Identifier


class ResultsParams(_Strict, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    device: Identifier | None = None


class Limits(_Tolerant, frozen=True):
    """What the server allows; each is told in ``hello``."""

    max_request_bytes: int
    line_deadline_seconds: float
    idle_seconds: float
    max_connections: int
    max_queue_length: int
    max_run_seconds: float
    max_memory_share_ratio: float
    max_runs_per_connection: int


class Hello(_Tolerant, frozen=True):
    protocol: int
    server: str
    features: list[str]
    limits: Limits
    devices: list[str]


class Pong(_Tolerant, frozen=True):
    pong: bool = True


class Devices(_Tolerant, frozen=True):
    devices: list[DeviceInfo]
    runtimes: list[RuntimeStatus]


class BenchmarkInfo(_Tolerant, frozen=True):
    """A benchmark and what it takes; ``parameters`` is a JSON Schema.

    The arrays are what one pass over whole arrays moves, null where it is no such pass.
    """

    name: str
    family: str
    summary: str
    explanation: str
    parameters: dict[str, Any]
    payload_arrays: int | None = None
    bus_arrays: int | None = None


class SuiteInfo(_Tolerant, frozen=True):
    name: str
    summary: str
    benchmarks: list[str]


class Benchmarks(_Tolerant, frozen=True):
    benchmarks: list[BenchmarkInfo]
    suites: list[SuiteInfo]


class Accepted(_Tolerant, frozen=True):
    """``position`` 0 is next or running; ``eta_seconds`` until the run begins, null if unknown."""

    request_id: int | str | None
    run_id: str
    position: int
    eta_seconds: float | None = None
    replayed: bool = False


Phase = Literal["queued", "starting", "tuning", "warming_up", "measuring", "verifying"]


class Progress(_Tolerant, frozen=True, kw_only=True):
    """``done_ratio`` only rises. The figure is of the samples so far, null before the first."""

    request_id: int | str | None = None
    run_id: str | None = None
    phase: Phase
    done_ratio: float
    benchmark: str | None = None
    message: str | None = None
    position: int | None = None
    samples: int | None = None
    bandwidth_bytes_per_second: float | None = None
    interval_ratio: float | None = None


class Cancelling(_Tolerant, frozen=True):
    """``cancelled`` is false where the run had ended already."""

    run_id: str
    cancelled: bool


class RunState(_Tolerant, frozen=True):
    run_id: str
    state: Literal["queued", "running", "finished"]
    outcome: str | None = None
    device: str | None = None
    created_at: str | None = None
    finished_at: str | None = None
    benchmarks: list[str] = msgspec.field(default_factory=list)


class Results(_Tolerant, frozen=True):
    runs: list[RunState]


class DeviceQueue(_Tolerant, frozen=True):
    device: str
    running: str | None
    queued: list[str]


class Status(_Tolerant, frozen=True):
    state: Literal["ready", "draining", "no_device"]
    server: str
    uptime_seconds: float
    open_connections: int
    queues: list[DeviceQueue]


class ErrorBody(_Tolerant, frozen=True):
    code: int
    message: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One response line: ``result`` or ``error``."""

    id: int | str | None
    jsonrpc: str = ""
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | msgspec.UnsetType = msgspec.UNSET


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """``accepted`` or ``progress``, from the server."""

    method: str
    jsonrpc: str
    params: msgspec.Raw


PARAMETERS: dict[str, type[msgspec.Struct]] = {
    "hello": HelloParams,
    "ping": NoParams,
    "devices": NoParams,
    "benchmarks": NoParams,
    "run": RunParams,
    "cancel": RunIdParams,
    "status": NoParams,
    "result": RunIdParams,
    "results": ResultsParams,
}
"""Every method and what it takes; the server serves exactly these."""
