"""What a connection has still to say: filled by any thread, emptied by the one that owns the socket.

Answers are kept until they are sent. Of progress only the newest is kept for each request, and it is
sent only when nothing else waits: it is what a slow client loses first, and it takes no room.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from gpubench.results.progress import Progress
from gpubench_server.encode import RequestId, notification_line

PIECE_BYTES = 256 * 1024
"""Sent and timed as one: a long document to a slow client gets a deadline for each piece."""


class Ticket:
    """A request whose answer comes later.

    ``holds``: a run is ended when the last request that holds it is gone. ``fetches``: the request
    asked for the document, so that a failed run's document is its result and not an error.
    """

    def __init__(self, outbox: Outbox, request_id: RequestId, *, holds: bool, fetches: bool) -> None:
        self.request_id = request_id
        self.holds = holds
        self.fetches = fetches
        self._outbox = outbox
        # Below: the outbox's, under its lock.
        self.latest: Progress | None = None
        self.fresh = False
        self.told_at = 0.0

    def open(self, accepted: bytes | None) -> None:
        """The request was taken; ``accepted`` is told before all else that comes of it."""
        self._outbox.open(self, accepted)

    def progress(self, progress: Progress) -> None:
        self._outbox.progress(self, progress)

    def answer(self, line: bytes) -> None:
        self._outbox.answer(self, line)


class Outbox:
    """Lines and progress for one client; after ``close`` whatever is posted is dropped."""

    def __init__(
        self, wake: Callable[[], None], *, heartbeat_seconds: float, progress_interval_seconds: float
    ) -> None:
        self._wake = wake
        self._heartbeat_seconds = heartbeat_seconds
        self._progress_interval_seconds = progress_interval_seconds
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._tickets: dict[Ticket, None] = {}
        self._woken = False
        self._closed = False
        self.pending_bytes = 0

    # Any thread.

    def open(self, ticket: Ticket, accepted: bytes | None) -> None:
        with self._lock:
            if self._closed:
                return
            self._tickets[ticket] = None
            if accepted is not None:
                self._append(accepted)

    def progress(self, ticket: Ticket, progress: Progress) -> None:
        with self._lock:
            ticket.latest = progress
            ticket.fresh = True
            self._rouse()

    def answer(self, ticket: Ticket, line: bytes) -> None:
        with self._lock:
            if ticket in self._tickets:
                del self._tickets[ticket]
                self._append(line)
                self._rouse()

    # The thread that owns the socket.

    def add(self, line: bytes) -> None:
        with self._lock:
            self._append(line)

    @property
    def open_tickets(self) -> int:
        return len(self._tickets)

    @property
    def empty(self) -> bool:
        """Nothing waits to be sent, and no answer is to come."""
        return not self._lines and not self._tickets

    def collect(self, now: float) -> bytes:
        """What to send next: lines first, and progress that is due where there are none."""
        with self._lock:
            self._woken = False
            if not self._lines:
                return self._due_progress(now)
            pieces = [self._lines.popleft()]
            size = len(pieces[0])
            while self._lines and size + len(self._lines[0]) <= PIECE_BYTES:
                pieces.append(self._lines.popleft())
                size += len(pieces[-1])
            self.pending_bytes -= size
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def next_due(self) -> list[float]:
        """When progress is next to be sent, for each request, on the monotonic clock."""
        with self._lock:
            return [self._due_at(ticket) for ticket in self._tickets if ticket.latest]

    def hurry(self) -> None:
        """Tell the newest progress of every request at once: who is gone is found by writing."""
        with self._lock:
            for ticket in self._tickets:
                ticket.told_at = 0.0

    def give_up_tickets(self) -> list[Ticket]:
        """Wait for no further answers; returns the requests that will get none."""
        with self._lock:
            left = list(self._tickets)
            self._tickets.clear()
            return left

    def close(self) -> list[Ticket]:
        """Drop everything; returns the requests that will get no answer."""
        with self._lock:
            self._closed = True
            self._lines.clear()
        return self.give_up_tickets()

    # Under the lock.

    def _append(self, line: bytes) -> None:
        if self._closed:
            return
        self.pending_bytes += len(line)
        if len(line) <= PIECE_BYTES:
            self._lines.append(line)
            return
        self._lines.extend(line[at : at + PIECE_BYTES] for at in range(0, len(line), PIECE_BYTES))

    def _rouse(self) -> None:
        # Under the lock and never after `close`: the wake-up's descriptor may be another's by then.
        if not self._woken and not self._closed:
            self._woken = True
            self._wake()

    def _due_at(self, ticket: Ticket) -> float:
        return ticket.told_at + (self._progress_interval_seconds if ticket.fresh else self._heartbeat_seconds)

    def _due_progress(self, now: float) -> bytes:
        due = [(ticket, ticket.latest) for ticket in self._tickets if self._due_at(ticket) <= now]
        lines = []
        for ticket, latest in due:
            if latest is not None:
                told = msgspec.structs.replace(latest, request_id=ticket.request_id)
                lines.append(notification_line("progress", told))
                ticket.fresh = False
                ticket.told_at = now
        return b"".join(lines)
