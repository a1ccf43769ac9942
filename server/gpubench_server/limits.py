"""Every limit of the service in one place, each with its reason; all are told or settable by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from gpubench.errors import InvalidParameters
from gpubench.protocol import messages


@dataclass(frozen=True)
class Limits:
    """What one server takes. ``--limit NAME=VALUE`` sets any of them."""

    max_connections: int = 64
    """A thread each; 64 people or programs are many for one machine's memory."""

    max_queue_length: int = 16
    """Runs waiting for one piece of hardware: at a minute each, who comes later does better to retry."""

    max_runs_per_connection: int = 8
    """One client cannot fill the queue for all others."""

    max_run_seconds: float = 900.0
    """From the run's start; what takes longer is stuck, or should be several runs."""

    line_deadline_seconds: float = 10.0
    """From a line's first byte to its newline: a time-out per recv is renewed by each dripped byte."""

    idle_seconds: float = 60.0
    """A connection on which nothing is asked and nothing runs gives its place to another."""

    send_deadline_seconds: float = 30.0
    """What was handed over for sending must be taken by then; a client that does not read is cut."""

    linger_seconds: float = 1.0
    """What a refused client still sends is read so long: closing at once would reset the connection,
    and the reset can overtake the line that says why."""

    max_outbox_bytes: int = 256 * 1024
    """Above it nothing more is read from the client, so that unread answers do not pile up."""

    heartbeat_seconds: float = 0.5
    """A progress line at least this often, in the queue too: writing is what finds a client gone."""

    progress_interval_seconds: float = 0.1
    """Progress lines come no closer: ten in a second are more than a person reads."""

    worker_idle_seconds: float = 60.0
    """A worker keeps its device's memory and compiled kernels for the next run, but not for ever."""

    probe_age_seconds: float = 30.0
    """``devices`` looks again where the last look is older: boards fall off the bus and come back."""

    drain_seconds: float = 60.0
    """How long the running runs get to end after SIGTERM; systemd kills after 90."""

    http_connections: int = 64
    """Scrapers and probes; a silent one holds its place for ``http_deadline_seconds``."""

    http_deadline_seconds: float = 5.0
    """For a whole HTTP request, and again for its answer: half of a scraper's usual 10 s."""

    def wire(self) -> messages.Limits:
        """What ``hello`` tells of them."""
        return messages.Limits(
            max_request_bytes=messages.MAX_REQUEST_BYTES,
            line_deadline_seconds=self.line_deadline_seconds,
            idle_seconds=self.idle_seconds,
            max_connections=self.max_connections,
            max_queue_length=self.max_queue_length,
            max_run_seconds=self.max_run_seconds,
            max_memory_share_ratio=MAX_MEMORY_SHARE_RATIO,
            max_runs_per_connection=self.max_runs_per_connection,
        )


MAX_MEMORY_SHARE_RATIO = 0.9
"""Of free memory; the worker holds to it, who alone knows what is free when the run begins."""


def changed(limits: Limits, settings: Sequence[str]) -> Limits:
    """``limits`` with ``NAME=VALUE`` settings; raises ``InvalidParameters`` naming what is allowed."""
    kinds: dict[str, type[int] | type[float]] = {
        field.name: type(getattr(limits, field.name)) for field in fields(Limits)
    }
    values: dict[str, int | float] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise InvalidParameters(f"no limit {name!r}; allowed: {', '.join(kinds)}")
        try:
            value = kinds[name](text)
        except ValueError:
            raise InvalidParameters(f"limit {name} takes a number, not {text!r}") from None
        if not 0 < value < float("inf"):
            raise InvalidParameters(f"limit {name} must be above 0 and finite, not {text}")
        values[name] = value
    return replace(limits, **values)  # type: ignore[arg-type]
