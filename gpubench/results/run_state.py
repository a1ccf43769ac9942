"""The state of a run, without its document."""

from __future__ import annotations

from typing import Literal

import msgspec

from gpubench.results.machine import Record


class RunState(Record, frozen=True):
    run_id: str
    state: Literal["queued", "running", "finished"]
    outcome: str | None = None
    device: str | None = None
    created_at: str | None = None
    finished_at: str | None = None
    benchmarks: list[str] = msgspec.field(default_factory=list)
