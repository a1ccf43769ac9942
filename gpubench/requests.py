"""Requests: a run, its benchmarks with their parameters, and the memory stated by the user."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Identifier = Annotated[str, Meta(min_length=1, max_length=128)]

Labels = Annotated[
    dict[
        Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")],
        Annotated[str, Meta(max_length=256)],
    ],
    Meta(max_length=16),
]
"""The user's own words about a run, such as where it was measured."""

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class BenchmarkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A benchmark or a suite by name; ``parameters`` apply to every member of a suite."""

    name: Identifier
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class StatedMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The memory as stated by the user, for devices that do not report it."""

    technology: Identifier
    bus_width_bits: Annotated[int, Meta(ge=8, le=65_536)]


class RequestedRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A requested run, on a server or on this machine.

    ``device`` is an id or an alias; without it the only GPU is used, else the only device. ``key``
    identifies the request when it is sent again. ``labels`` are kept in the document.
    Defaults are not sent: a server that is older than a field takes every request without it.
    """

    benchmarks: Annotated[list[BenchmarkRequest | str], Meta(min_length=1, max_length=64)]
    device: Identifier | None = None
    key: Identifier | None = None
    deadline_seconds: Seconds | None = None
    memory: StatedMemory | None = None
    labels: Labels = msgspec.field(default_factory=dict)


class PlannedBenchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark of a run, its suite expanded and its parameters checked and complete.

    ``stated`` are the names of those that the request states.
    """

    name: str
    parameters: dict[str, Any]
    default_parameters: bool
    stated: list[str] = msgspec.field(default_factory=list)
