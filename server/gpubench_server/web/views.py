"""What the pages and the JSON API show. Its JSON is public: ``/api/v1/openapi.json`` is made from it.

Bandwidths are in byte/s, ratios from 0 to 1; null means unknown.
"""

from __future__ import annotations

import msgspec

from gpubench.comparison.acceptance import Status as Acceptance
from gpubench.flags import Flag
from gpubench.protocol.messages import ServerState
from gpubench.results.machine import DeviceInfo, Theory
from gpubench.results.progress import Progress
from gpubench.results.run_state import RunState


class _View(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Figure(_View, frozen=True, kw_only=True):
    """The one figure that represents a run. ``nominal_ratio`` is its share of the theoretical peak."""

    benchmark: str
    bandwidth_bytes_per_second: float
    low_bytes_per_second: float
    high_bytes_per_second: float
    nominal_ratio: float | None = None
    flags: list[Flag] = msgspec.field(default_factory=list)


class RunSummary(_View, frozen=True, kw_only=True):
    """What a finished run says in one line. ``text`` is its verdict in words."""

    device_name: str
    acceptance: Acceptance
    text: str
    figure: Figure | None = None
    theory: Theory | None = None


class RunView(_View, frozen=True, kw_only=True):
    """``summary`` is null until the run has finished, and if its document is damaged."""

    run: RunState
    summary: RunSummary | None = None


class Reference(_View, frozen=True, kw_only=True):
    """The theoretical peak of a GDDR memory; ``measured_ratio`` is the device's last figure over it."""

    label: str
    bus_width_bits: int
    peak_bytes_per_second: float
    measured_ratio: float | None = None


class DeviceView(_View, frozen=True, kw_only=True):
    """``last`` is the newest finished run on this device."""

    device: DeviceInfo
    theory: Theory | None = None
    last: RunView | None = None
    references: list[Reference] = msgspec.field(default_factory=list)


class QueueView(_View, frozen=True, kw_only=True):
    """One device's queue: ids of runs. ``text`` is the progress of the running one in words."""

    device: str
    running: str | None
    queued: list[str]
    progress: Progress | None = None
    text: str = ""


class StatusView(_View, frozen=True, kw_only=True):
    """``reasons`` are why runs are refused; ``newest`` is the id of the newest run that was accepted."""

    state: ServerState
    server: str
    reasons: list[str]
    queues: list[QueueView]
    newest: str | None = None


class ErrorView(_View, frozen=True, kw_only=True):
    kind: str
    message: str
