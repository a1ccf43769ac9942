"""A run from its acceptance to its end, as the scheduler holds it."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from gpubench.protocol.messages import Progress
from gpubench.results.document import DeviceInfo
from gpubench.worker.conduct import Recorder, Stop
from gpubench.worker.messages import Run
from gpubench_server.outbox import Ticket


@dataclass(eq=False)
class LiveRun:
    """One run and who waits for it; the scheduler's lock guards what changes."""

    id: str
    device: DeviceInfo
    work: Run
    recorder: Recorder
    deadline_at: float | None
    detached: bool
    stop: Stop = field(default_factory=Stop)
    tickets: list[Ticket] = field(default_factory=list)
    latest: Progress | None = None
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    measured_at: float = 0.0
    took_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def abandoned(self) -> bool:
        """Nobody who asked for it is left, and nobody said that it shall go on."""
        return not self.detached and not any(ticket.holds for ticket in self.tickets)

    def tell(self, progress: Progress) -> None:
        self.latest = progress
        for ticket in list(self.tickets):
            ticket.progress(progress)
