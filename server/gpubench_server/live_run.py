"""A run from its acceptance to its end, and the requests that wait for it."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import DeadlineExceeded, InternalError, LimitExceeded, NoSuchRun
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest
from gpubench.results.machine import DeviceInfo
from gpubench.results.progress import Progress
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.outbox import Ticket
from gpubench_server.principals import Principal

log = logging.getLogger(__name__)

Answer = Callable[[Ticket], bytes]
"""Makes the line that ends one request."""


@dataclass(eq=False)
class LiveRun:
    """One run that is queued or running. What changes is guarded by the scheduler's lock.

    It is the only place that knows which requests wait for it; progress and the response reach them
    through its methods.
    """

    id: str
    device: DeviceInfo
    work: Run
    recorder: Recorder
    deadline_at: float | None
    detached: bool
    owner: Principal
    max_seconds: float
    """From its start."""
    stop: StopRequest = field(default_factory=StopRequest)
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    measured_at: float = 0.0
    taken_up: bool = False
    """It was accepted by an earlier server, and waited when that one ended."""
    device_known: bool = True
    """Whether its device was found since this server started; else it cannot start yet."""
    benchmark_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _tickets: list[Ticket] = field(default_factory=list, init=False)
    _latest: Progress | None = field(default=None, init=False)

    @property
    def latest(self) -> Progress | None:
        return self._latest

    def log_fields(self) -> dict[str, str]:
        return {"run_id": self.id, "principal": str(self.owner)}

    # The requests that wait.

    def join(self, ticket: Ticket, accepted: bytes | None) -> None:
        """Let a request wait for this run; the notification ``accepted`` is sent to it first.

        If that fails, the request waits for nothing.
        """
        try:
            ticket.outbox.open(ticket, accepted)
            self._tickets.append(ticket)
            if self._latest is not None:
                ticket.outbox.progress(ticket, self._latest)
        except BaseException:
            self.leave(ticket)
            ticket.outbox.drop(ticket)
            raise

    def leave(self, ticket: Ticket) -> bool:
        """The request waits no longer, as its client is gone; whether it was waiting for this run."""
        if ticket not in self._tickets:
            return False
        self._tickets.remove(ticket)
        return True

    @property
    def abandoned(self) -> bool:
        """Whether no request holds the run any more, and it was not started as detached."""
        return not self.detached and not any(ticket.holds for ticket in self._tickets)

    def report(self, progress: Progress) -> None:
        """Send progress to every request that waits, and to those that will join. Any thread."""
        self._latest = progress
        for ticket in list(self._tickets):
            ticket.outbox.progress(ticket, progress)

    def respond(self, answer: Answer) -> None:
        """End every request that waits: what goes wrong with one of them is kept from the others."""
        for ticket in self._tickets:
            try:
                line = answer(ticket)
            except Exception:
                log.exception("run %s: a request could not be answered", self.id)
                line = error_line(ticket.request_id, no_answer(self.id))
            ticket.outbox.respond(ticket, line)

    # The hardware and the time that it takes.

    def hardware(self, devices: Sequence[DeviceInfo]) -> set[str]:
        """The ids of the hardware it uses: copies between peers use every device of its runtime."""
        own = {self.device.hardware_id}
        copies = any(BENCHMARKS[each.name].family == "transfer" for each in self.work.benchmarks)
        if self.device.runtime != "cuda" or not copies:
            return own
        return own | {device.hardware_id for device in devices if device.runtime == "cuda"}

    def ends_at(self) -> float | None:
        """When its time is over, on the monotonic clock; None if it has already been asked to stop."""
        if self.stop.reason:
            return None
        limit = self.started_at + self.max_seconds if self.started_at is not None else None
        return min((at for at in (self.deadline_at, limit) if at is not None), default=None)

    def out_of_time(self) -> DeadlineExceeded:
        """The error for whichever of its two time limits is over."""
        if self.deadline_at is not None and self.deadline_at <= time.monotonic():
            asked = self.deadline_at - self.queued_at
            return DeadlineExceeded(
                f"the run did not finish within its deadline of {asked:.3g} s, which includes the time in "
                "the queue"
            )
        return DeadlineExceeded(
            f"the run was ended after {self.max_seconds:g} s, the limit for a run of {self.owner}; "
            "ask for fewer benchmarks at once"
        )


def check_runs_of_client(open_tickets: int, limits: Limits) -> None:
    if open_tickets >= limits.max_runs_per_connection:
        raise LimitExceeded(
            f"this connection is already waiting for {open_tickets} runs, the most that one connection may "
            "wait for; send more when one of them has ended",
            limit="runs_per_connection",
        )


def no_such_run(run_id: str) -> NoSuchRun:
    return NoSuchRun(f"there is no run {run_id!r} on this server; the method `results` lists all runs")


def no_answer(run_id: str) -> InternalError:
    return InternalError(f"internal error in the server at the end of run {run_id}; its log has the details")
