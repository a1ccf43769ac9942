"""How far a run is."""

from __future__ import annotations

from typing import Literal

from gpubench.results.machine import Record

Phase = Literal["queued", "starting", "tuning", "warming_up", "measuring", "verifying"]


class Progress(Record, frozen=True, kw_only=True):
    """``done_ratio`` only rises. The bandwidth is that of the samples so far, null before the first."""

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
