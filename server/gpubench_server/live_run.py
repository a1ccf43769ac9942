"""A run from its acceptance to its end, as the scheduler holds it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import DeadlineExceeded, LimitExceeded, NoSuchRun
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest
from gpubench.results.machine import DeviceInfo
from gpubench.results.progress import Progress
from gpubench_server.limits import Limits
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
    stop: StopRequest = field(default_factory=StopRequest)
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

    def hardware(self, devices: Sequence[DeviceInfo]) -> set[str]:
        """The ids of what it keeps busy: copies between peers go to every device of its runtime."""
        own = {self.device.hardware_id}
        copies = any(BENCHMARKS[each.name].family == "transfer" for each in self.work.benchmarks)
        if self.device.runtime != "cuda" or not copies:
            return own
        return own | {device.hardware_id for device in devices if device.runtime == "cuda"}

    def ends_at(self, max_run_seconds: float) -> float | None:
        """When its time is over, on the monotonic clock; null where it was told to stop already."""
        if self.stop.reason:
            return None
        limit = self.started_at + max_run_seconds if self.started_at is not None else None
        return min((at for at in (self.deadline_at, limit) if at is not None), default=None)

    def out_of_time(self, max_run_seconds: float) -> DeadlineExceeded:
        """Which of the two times is over."""
        if self.deadline_at is not None and self.deadline_at <= time.monotonic():
            asked = self.deadline_at - self.queued_at
            return DeadlineExceeded(
                f"the run was not finished within its deadline of {asked:.3g} s, queue included"
            )
        return DeadlineExceeded(f"this server lets no run take longer than {max_run_seconds:g} s")


def check_runs_of_client(open_tickets: int, limits: Limits) -> None:
    if open_tickets >= limits.max_runs_per_connection:
        raise LimitExceeded(
            f"{open_tickets} requests of this connection wait for runs already; "
            f"no more than {limits.max_runs_per_connection} are taken at a time"
        )


def no_such_run(run_id: str) -> NoSuchRun:
    return NoSuchRun(f"no run {run_id!r} is stored here; the method `results` lists those that are")
