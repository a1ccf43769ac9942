"""Every limit of the service in one place, with the reason for its value; ``--limit`` sets each by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, get_args, get_type_hints

from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.errors import InvalidParameters
from gpubench.protocol import messages
from gpubench.results.retention import DAY_SECONDS, Retention
from gpubench.suggestions import did_you_mean
from gpubench.validation import Range, check_range

Seconds = Annotated[float, Range(0.01, 7 * 86_400, "s")]
"""A week: ``poll`` takes at most 24 days, and a shorter time than 10 ms would only keep a processor busy."""


@dataclass(frozen=True)
class Limits:
    """The limits of one server. ``--limit NAME=VALUE`` sets any of them.

    Raises ``InvalidParameters`` for a value that is out of its range.
    """

    max_connections: Annotated[int, Range(1, 10_000, "connections")] = 64
    """For each ``--listen`` address, so that clients of one cannot shut out clients of another, such as the
    Unix socket; of a gateway, for all of them together. One thread each, in a gateway one process; 64 people
    or programs are many for the memory of one machine."""

    max_queue_length: Annotated[int, Range(1, 10_000, "runs")] = 16
    """Runs that wait for one piece of hardware. At a minute each, later clients do better to retry."""

    max_runs_per_connection: Annotated[int, Range(1, 10_000, "runs")] = 8
    """So that one client cannot fill the queue for all others."""

    max_run_seconds: Seconds = 900.0
    """From the start of a run. A run that takes longer is stuck, or should be several runs."""

    max_runs_per_principal: Annotated[int, Range(1, 10_000, "runs")] = 16
    """Of one token, certificate, user or address, waiting and running. Detached runs have an owner too."""

    max_queue_places_per_principal: Annotated[int, Range(1, 10_000, "runs")] = 8
    """In the queue of one piece of hardware: half of it is left for the others."""

    max_requests_per_second: Annotated[float, Range(0.01, 1_000_000, "requests/s")] = 100.0
    """Of one principal, saved up for 5 s. A client that asks for a status every 10 ms is in a loop. On this
    machine without a token, and on Unix sockets, there is no such limit."""

    max_bad_lines_per_second: Annotated[float, Range(0.01, 1_000_000, "lines/s")] = 20.0
    """On one connection, saved up for 5 s: lines that are not valid requests are read no faster than this.
    Answering a flood of them would take processor time from all other clients."""

    max_connections_per_second: Annotated[float, Range(0.01, 1_000_000, "connections/s")] = 10.0
    """From one address of another machine, saved up for 10 s: a client needs one, and TLS costs 1 ms each."""

    handshake_seconds: Seconds = 5.0
    """For the whole TLS handshake; over the slowest links it takes one."""

    authentication_seconds: Seconds = 10.0
    """For a client to authenticate, if it must: until then it takes up a connection."""

    authentication_delay_seconds: Seconds = 1.0
    """Before a wrong token is answered: long for a program that guesses, and nothing for a person."""

    max_tokens_per_minute: Annotated[int, Range(1, 100_000, "tokens")] = 10
    """That an address may try. Tokens that were right before are not counted, so guessing does not lock
    out clients that have signed in before."""

    line_deadline_seconds: Seconds = 10.0
    """From the first byte of a line to its newline. A time-out per read would restart with each byte."""

    idle_seconds: Seconds = 60.0
    """A connection without requests and runs is closed after this time, to make room for another."""

    send_deadline_seconds: Seconds = 30.0
    """For the client to take what was handed to the socket; a client that does not read is disconnected."""

    linger_seconds: Seconds = 1.0
    """How long the input of a refused client is read and discarded. Closing at once would reset the
    connection, and the reset can overtake the error message."""

    max_outbox_bytes: Annotated[int, Range(1024, 1 << 30, "bytes")] = 256 * 1024
    """While more than this is waiting to be sent, nothing is read from the client, so that responses which
    it does not read cannot pile up."""

    heartbeat_seconds: Seconds = 0.5
    """The longest time between two progress lines, also in the queue: a failed write is how a lost client is
    noticed."""

    progress_interval_seconds: Seconds = 0.1
    """The shortest time between two progress lines: ten per second are more than a person can read."""

    worker_idle_seconds: Seconds = 60.0
    """How long an idle worker keeps its device's memory and its compiled kernels for the next run."""

    probe_age_seconds: Seconds = 30.0
    """``devices`` searches again if the last search is older: boards fall off the bus and come back."""

    drain_seconds: Seconds = 60.0
    """For the current runs to end after SIGTERM; systemd kills after 90."""

    max_stored_runs: Annotated[int, Range(1, 10_000_000, "runs")] = 100_000
    """The number of finished runs that are kept, the newest. A document takes from some kB to a MB."""

    stored_days: Annotated[float, Range(0.01, 36_500, "days")] = 3650.0
    """A run that ended longer ago is removed; ten years are longer than a board is used."""

    stored_key_days: Annotated[float, Range(0.01, 3650, "days")] = 7.0
    """A run with a key is kept so long after its end in any case: its client may still ask for it by the
    key, and must not get a second run."""

    http_connections: Annotated[int, Range(1, 10_000, "connections")] = 64
    """Scrapers and probes; one that sends nothing is disconnected after ``http_deadline_seconds``, or
    when all are in use and another comes."""

    http_deadline_seconds: Seconds = 5.0
    """For an HTTP request, and again for its response: half of a scraper's usual 10 s."""

    http_session_seconds: Seconds = 12 * 3600.0
    """From signing in on the page until it is needed again: a working day, or less if the token expires."""

    http_sessions_per_token: Annotated[int, Range(1, 10_000, "sessions")] = 16
    """Browsers that are signed in with the same token; one more signs out the oldest."""

    def __post_init__(self) -> None:
        for name, (_, allowed) in ranges().items():
            check_range(f"limit {name}", getattr(self, name), allowed)

    @property
    def retention(self) -> Retention:
        return Retention(
            self.max_stored_runs, self.stored_days * DAY_SECONDS, self.stored_key_days * DAY_SECONDS
        )

    def wire(self) -> messages.Limits:
        """Those that ``hello`` reports."""
        return messages.Limits(
            max_request_bytes=messages.MAX_REQUEST_BYTES,
            line_deadline_seconds=self.line_deadline_seconds,
            idle_seconds=self.idle_seconds,
            max_connections=self.max_connections,
            max_queue_length=self.max_queue_length,
            max_run_seconds=self.max_run_seconds,
            max_memory_share_ratio=MAX_MEMORY_SHARE_RATIO,
            max_runs_per_connection=self.max_runs_per_connection,
            max_runs_per_principal=self.max_runs_per_principal,
            max_queue_places_per_principal=self.max_queue_places_per_principal,
            max_requests_per_second=self.max_requests_per_second,
        )


@functools.cache
def ranges() -> Mapping[str, tuple[type[int] | type[float], Range]]:
    """The type and the range of each limit, by name."""
    hints = get_type_hints(Limits, include_extras=True)
    return {name: (kind, allowed) for name, hint in hints.items() for kind, allowed in [get_args(hint)]}


def changed(limits: Limits, settings: Sequence[str]) -> Limits:
    """``limits`` with ``NAME=VALUE`` settings; raises ``InvalidParameters`` naming what is allowed."""
    values: dict[str, int | float] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in ranges():
            hint = did_you_mean(name, ranges())
            raise InvalidParameters(f"unknown limit {name!r};{hint} allowed: {', '.join(ranges())}")
        kind, allowed = ranges()[name]
        try:
            values[name] = kind(text)
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise InvalidParameters(f"limit {name} must be {number} {allowed}, not {text!r}") from None
    return replace(limits, **values)  # type: ignore[arg-type]
