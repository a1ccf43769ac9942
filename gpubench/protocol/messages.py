"""The messages of the protocol: newline-delimited JSON-RPC 2.0, as typed structs.

Requests reject unknown fields; results ignore them, so that an old client can talk
to a new server. Equal program versions are never required, only an equal ``PROTOCOL``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gpubench.requests import Identifier, RequestedRun
from gpubench.results.history import MAX_POINTS
from gpubench.results.machine import DeviceInfo, RuntimeStatus
from gpubench.results.run_state import RunState

PROTOCOL = 1
"""Incremented when an old client could misread a new server."""

DEFAULT_PORT = 7707
DEFAULT_HTTP_PORT = 9707

MAX_REQUEST_BYTES = 64 * 1024
"""A request line with its newline. Requests are small; a larger one is a mistake or an attack."""

MAX_TOKEN = 256
"""The longest token in characters, several times as long as those that a server makes."""

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""The most that a client accepts: a run document with all samples of a long suite is well below."""

MAX_SOCKET_PATH_BYTES = 107
"""Linux has no room for more in the address of a Unix socket."""

MAX_DATAGRAM_BYTES = 1200
"""A question over UDP or a Unix datagram socket: what every network carries in one piece."""

DATAGRAM_METHODS = frozenset({"ping", "status"})
"""What is answered over UDP and Unix datagram sockets. An answer is never longer than its question, so that
nobody can use the server to flood others: questions are padded with spaces."""

ServerState = Literal["ready", "draining", "no_device", "no_store"]

Method = Literal[
    "hello",
    "ping",
    "devices",
    "benchmarks",
    "run",
    "cancel",
    "status",
    "result",
    "results",
    "history",
    "drain",
]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part of a request: an unknown field is a mistake that must be reported."""


class _Tolerant(msgspec.Struct, frozen=True):
    """Part of a response: unknown fields come from a newer program."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request line; ``params`` is decoded once the method is known."""

    method: str
    jsonrpc: Literal["2.0"]
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class NoParams(_Strict, frozen=True):
    pass


class HelloParams(_Strict, frozen=True):
    protocol: Annotated[int, Meta(ge=0, le=1_000_000)] = PROTOCOL
    client: str | None = None
    token: Annotated[str, Meta(max_length=MAX_TOKEN)] | msgspec.UnsetType | None = msgspec.UNSET
    """Left out where there is none: servers that know no tokens refuse the field."""


class RunParams(RequestedRun, frozen=True, forbid_unknown_fields=True):
    """With ``detach`` the run continues without the client that requested it.

    Without ``notifications`` the response is all that is sent, as libraries for JSON-RPC expect.
    """

    detach: bool = False
    notifications: bool = True


class RunIdParams(_Strict, frozen=True):
    run_id: Identifier


class ResultsParams(_Strict, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    device: Identifier | None = None


class HistoryParams(_Strict, frozen=True):
    """The newest ``limit`` figures. ``device`` is an id, an alias or a name; ``since`` a time in ISO 8601."""

    device: Identifier | None = None
    benchmark: Identifier | None = None
    since: Annotated[str, Meta(max_length=40)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 1000


class Limits(_Tolerant, frozen=True):
    """The limits that a client can run into, as they are for this one; all are sent in ``hello``.

    0 comes from a server that does not have the limit.
    """

    max_request_bytes: int
    line_deadline_seconds: float
    idle_seconds: float
    max_connections: int
    max_queue_length: int
    max_run_seconds: float
    max_memory_share_ratio: float
    max_runs_per_connection: int
    max_runs_per_principal: int = 0
    max_queue_places_per_principal: int = 0
    max_requests_per_second: float = 0.0


class Hello(_Tolerant, frozen=True):
    """``principal`` is whom the server takes the client for; what it may do follows from its ``role``."""

    protocol: int
    server: str
    features: list[str]
    limits: Limits
    devices: list[str]
    principal: str = ""
    role: str = ""


class Pong(_Tolerant, frozen=True):
    pong: bool = True


class Devices(_Tolerant, frozen=True):
    devices: list[DeviceInfo]
    runtimes: list[RuntimeStatus]


class Accepted(_Tolerant, frozen=True):
    """``position`` 0 is next or running; ``eta_seconds`` until the run begins, null if unknown."""

    request_id: int | str | None
    run_id: str
    position: int
    eta_seconds: float | None = None
    replayed: bool = False


class Cancelling(_Tolerant, frozen=True):
    """``cancelled`` is false if the run had already ended."""

    run_id: str
    cancelled: bool


class Results(_Tolerant, frozen=True):
    runs: list[RunState]


class Draining(_Tolerant, frozen=True):
    """The server accepts no new runs, and ends when the current ones have ended."""

    draining: bool = True


class QueueStatus(_Tolerant, frozen=True):
    device: str
    running: str | None
    queued: list[str]


class Status(_Tolerant, frozen=True):
    """``reasons`` are why runs are refused, as sentences; empty if ``state`` is ready."""

    state: ServerState
    server: str
    uptime_seconds: float
    open_connections: int
    queues: list[QueueStatus]
    reasons: list[str] = msgspec.field(default_factory=list)


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
    "history": HistoryParams,
    "drain": NoParams,
}
"""Every method and its parameters; the server has exactly these methods."""
