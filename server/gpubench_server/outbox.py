"""What a connection has still to send: filled by any thread, emptied by the thread that owns the socket.

Responses are kept until they are sent. Of progress, only the newest of each request is kept, and it is
sent only when no line is waiting: a slow client loses progress first, and progress never piles up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import msgspec

from gpubench.results.progress import Progress
from gpubench_server.encode import RequestId, notification_line

PIECE_BYTES = 256 * 1024
"""Sent and timed as one: a long document to a slow client gets a deadline for each piece."""


@dataclass(frozen=True, eq=False)
class Ticket:
    """One request that waits for a run: where its response goes, and what the request asked for.

    A ticket only identifies the request. Which tickets wait for a run is known by the run (``LiveRun``);
    which of a connection's requests have no response yet is known by its outbox.
    """

    outbox: Outbox
    request_id: RequestId
    _: KW_ONLY
    holds: bool
    """The run is cancelled when the last request that holds it is gone."""
    fetches: bool
    """The request asked for the document, so the document of a failed run is its result, not an error."""
    notifies: bool = True
    """``accepted`` and ``progress`` are sent; libraries for JSON-RPC may take one for the response."""


@dataclass
class _Newest:
    """The newest progress of one request."""

    progress: Progress | None = None
    unsent: bool = False
    sent_at: float = 0.0


class Outbox:
    """Lines and progress for one client; after ``close``, anything posted is dropped."""

    def __init__(
        self, wake: Callable[[], None], *, heartbeat_seconds: float, progress_interval_seconds: float
    ) -> None:
        self._wake = wake
        self._heartbeat_seconds = heartbeat_seconds
        self._progress_interval_seconds = progress_interval_seconds
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._open: dict[Ticket, _Newest] = {}
        self._woken = False
        self._closed = False
        self._probing = False
        self.pending_bytes = 0

    # Any thread.

    def open(self, ticket: Ticket, accepted: bytes | None) -> None:
        """Expect a response to this request; ``accepted`` is sent before anything else about it."""
        with self._lock:
            if self._closed:
                return
            self._open[ticket] = _Newest()
            if accepted is not None and ticket.notifies:
                self._append(accepted)

    def progress(self, ticket: Ticket, progress: Progress) -> None:
        with self._lock:
            newest = self._open.get(ticket)
            if newest is not None:
                newest.progress = progress
                newest.unsent = ticket.notifies
                if self._shows(ticket, newest):
                    self._wake_owner()

    def respond(self, ticket: Ticket, line: bytes) -> None:
        """The response to this request, which ends it."""
        with self._lock:
            if self._open.pop(ticket, None) is not None:
                self._append(line)
                self._wake_owner()

    # The thread that owns the socket.

    def add(self, line: bytes) -> None:
        with self._lock:
            self._append(line)

    @property
    def open_tickets(self) -> int:
        """How many requests have no response yet."""
        return len(self._open)

    @property
    def empty(self) -> bool:
        """Nothing is waiting to be sent, and no response is still to come."""
        return not self._lines and not self._open

    def collect(self, now: float) -> bytes:
        """What to send next: lines, or if there are none, progress that is due."""
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

    def next_due(self) -> float | None:
        """When progress is next to be sent, on the monotonic clock; None if there is none to send."""
        with self._lock:
            due = (
                self._due_at(newest) for ticket, newest in self._open.items() if self._shows(ticket, newest)
            )
            return min(due, default=None)

    def send_progress_now(self) -> None:
        """Send the newest progress of every request at once: a failed write shows that the client is gone.

        A request without notifications gets spaces from now on, which may stand before its response.
        """
        with self._lock:
            self._probing = True
            for newest in self._open.values():
                newest.sent_at = 0.0

    def drop(self, ticket: Ticket) -> None:
        """Expect no response to this request: it is answered in another way."""
        with self._lock:
            self._open.pop(ticket, None)

    def drop_tickets(self) -> list[Ticket]:
        """Expect no further responses; returns the requests that will get none."""
        with self._lock:
            dropped = list(self._open)
            self._open.clear()
            return dropped

    def close(self) -> list[Ticket]:
        """Drop everything; returns the requests that will get no response."""
        with self._lock:
            self._closed = True
            self._lines.clear()
        return self.drop_tickets()

    # Under the lock.

    def _append(self, line: bytes) -> None:
        if self._closed:
            return
        self.pending_bytes += len(line)
        if len(line) <= PIECE_BYTES:
            self._lines.append(line)
            return
        self._lines.extend(line[at : at + PIECE_BYTES] for at in range(0, len(line), PIECE_BYTES))

    def _wake_owner(self) -> None:
        # Never after `close`: the descriptor of the wake-up pipe may have been reused by then.
        if not self._woken and not self._closed:
            self._woken = True
            self._wake()

    def _shows(self, ticket: Ticket, newest: _Newest) -> bool:
        """Whether the client is sent this progress, or a space for it."""
        return newest.progress is not None and (ticket.notifies or self._probing)

    def _due_at(self, newest: _Newest) -> float:
        return newest.sent_at + (
            self._progress_interval_seconds if newest.unsent else self._heartbeat_seconds
        )

    def _due_progress(self, now: float) -> bytes:
        lines = []
        for ticket, newest in self._open.items():
            if self._shows(ticket, newest) and self._due_at(newest) <= now:
                lines.append(_progress_line(ticket, newest.progress))
                newest.unsent = False
                newest.sent_at = now
        return b"".join(lines)


def _progress_line(ticket: Ticket, progress: Progress | None) -> bytes:
    if progress is None or not ticket.notifies:
        return b" "
    return notification_line("progress", msgspec.structs.replace(progress, request_id=ticket.request_id))
