"""Serves one client's connection: its thread, its socket, its deadlines.

One thread owns the socket and does all reading and writing; other threads post to the outbox and wake
it through a pipe. The socket never blocks, so that deadlines are kept whatever the client does. What
may happen next is decided in ``connection_state.py``.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from gpubench.devices.process_limits import limit_reached
from gpubench.errors import LineTooLong, TooManyConnections
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import MAX_REQUEST_BYTES
from gpubench_server.bad_lines import Pace, incomplete
from gpubench_server.connection_state import (
    DISCARDING,
    FINISHING,
    IN_A_LINE,
    LISTENING,
    OPEN,
    UNRECOGNISED,
    Event,
    State,
    next_state,
)
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.outbox import PIECE_BYTES, Outbox, Ticket
from gpubench_server.session import Session
from gpubench_server.tls import NOT_NOW, end_output, say_goodbye
from gpubench_server.wrong_protocol import RECOGNISED_BYTES, answer_on_line_port

_READ_BYTES = 64 * 1024
_LINE_COMPLETE = Event.LINE_COMPLETE  # looked up once: Python 3.11 takes 0.1 us for it
_READABLE = select.POLLIN
_LOST = select.POLLERR | select.POLLHUP | select.POLLNVAL


class _ClientGone(Exception):
    """The client disconnected, or does not read."""


class ClientConnection:
    """Serves one connected socket until the client leaves, breaks the protocol or stops reading.

    ``respond`` returns the response to a line, or None if there is none or it will come through the outbox.
    ``abandon`` is called for each request that was still waiting for a response when the client left.
    ``http_url`` is where a client that speaks HTTP should go. Of the ``session``, which ``respond`` changes,
    it matters whether the client is known by now, or was refused.
    """

    def __init__(
        self,
        client: socket.socket,
        respond: Callable[[bytes, Outbox], bytes | None],
        abandon: Callable[[Ticket], None],
        limits: Limits,
        http_url: str,
        session: Session,
    ) -> None:
        self._client = client
        self._respond = respond
        self._abandon = abandon
        self._limits = limits
        self._http_url = http_url
        self._session = session
        self._wake_read = self._wake_write = -1
        self._outbox = Outbox(
            self._wake,
            heartbeat_seconds=limits.heartbeat_seconds,
            progress_interval_seconds=limits.progress_interval_seconds,
        )
        # `poll` and not a selector: a socket registered for no event still reports that its peer is
        # gone, which is how a client that has ended its requests is watched.
        self._poll = select.poll()
        self._mask = -1
        self._lines = LineBuffer(MAX_REQUEST_BYTES)
        self._sending = b""
        self._send_began = 0.0
        self._pace = Pace(limits.max_bad_lines_per_second)
        self._state = State.OPENING
        self._began_at = self._entered_at = self._active_at = time.monotonic()

    def serve(self) -> None:
        # Whatever happens, the last entries are undone first, and all of them.
        with contextlib.ExitStack() as at_end:
            at_end.callback(self._close_wake_pipe)
            self._open_wake_pipe()
            at_end.callback(lambda: self._abandon_each(self._outbox.close()))
            self._client.setblocking(False)
            self._poll.register(self._wake_read, select.POLLIN)
            with contextlib.suppress(_ClientGone, OSError):
                while self._state in OPEN:
                    self._wait()
                    self._step()
                say_goodbye(self._client)

    def _open_wake_pipe(self) -> None:
        """If the process may open no more files, send the client the reason, then raise ``OSError``."""
        try:
            self._wake_read, self._wake_write = os.pipe()
        except OSError as error:
            limit = limit_reached(error)
            if limit is not None:
                with contextlib.suppress(OSError):
                    self._client.send(error_line(None, TooManyConnections(limit.message)))
            raise
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def _close_wake_pipe(self) -> None:
        for descriptor in (self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)

    def _abandon_each(self, tickets: Sequence[Ticket]) -> None:
        with contextlib.ExitStack() as stack:  # one that fails does not keep the others
            for ticket in tickets:
                stack.callback(self._abandon, ticket)

    def _step(self) -> None:
        """Serve what has arrived, send what is ready, and close if nothing is left to do.

        Every ping passes through here: whatever it does not need stands behind a condition.
        """
        more = True
        while more:
            more = self._lines.waiting and self._serve_lines()
            if self._sending or not self._outbox.empty:
                self._send()
            more = more and not self._congested()
        if self._state not in LISTENING:
            self._finish()

    def _finish(self) -> None:
        """Of a connection that serves no more lines: the next step to its end, if it is time for that."""
        if self._state in FINISHING and not (self._sending or self._lines.waiting) and self._outbox.empty:
            self._on(Event.ALL_SENT)
            if self._state is State.LINGERING:
                end_output(self._client)
        elif self._state is State.LINGERING:  # checked also while the client keeps sending
            self._check_time()

    def _check_time(self) -> None:
        """With nothing to send, whether the client has been idle, or we have lingered, for too long."""
        if not self._sending and self._outbox.empty and time.monotonic() >= self._ends_at():
            self._on(Event.TIME_OVER)

    def _on(self, event: Event) -> None:
        state = next_state(self._state, event)
        if state is not self._state:
            self._state = state
            self._entered_at = time.monotonic()

    # Waiting.

    def _wait(self) -> None:
        """Until there is something to read, room to write, a post in the outbox, or a deadline."""
        self._watch()
        # A millisecond more, or the loop would spin just before the deadline.
        wait_ms = max(0.0, self._next_deadline() - time.monotonic()) * 1000 + 1
        happened = self._poll.poll(wait_ms)
        if not happened and self._state in LISTENING:
            self._check_time()
        for descriptor, event in happened:
            if descriptor == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 64)
            elif event & _READABLE:
                self._read()
            elif event & _LOST:
                raise _ClientGone

    def _watch(self) -> None:
        # While the client does not take its answers, no more of its requests are read.
        reads = not self._congested() if self._state in LISTENING else self._state in DISCARDING
        mask = _READABLE if reads else 0
        if self._sending:
            mask |= select.POLLOUT
        if mask != self._mask:
            self._poll.register(self._client, mask)
            self._mask = mask

    def _next_deadline(self) -> float:
        slowed = self._pace.slowed()
        if self._sending:
            deadline = self._send_began + self._limits.send_deadline_seconds
        elif self._outbox.empty:
            deadline = self._pace.reads_at if slowed else self._ends_at()
        else:
            due = self._outbox.next_due()
            deadline = time.monotonic() + self._limits.idle_seconds if due is None else due
        if slowed:
            deadline = min(deadline, self._pace.reads_at)
        if self._state in IN_A_LINE and not self._congested():
            deadline = min(deadline, self._entered_at + self._limits.line_deadline_seconds)
        return deadline

    def _ends_at(self) -> float:
        """When a connection with nothing to send is closed."""
        if self._state in LISTENING:
            idle_at = self._active_at + self._limits.idle_seconds
            if self._session.known:
                return idle_at
            return min(idle_at, self._began_at + self._limits.authentication_seconds)
        return self._entered_at + self._limits.linger_seconds

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    # Reading.

    def _congested(self) -> bool:
        """Whether nothing is to be read for now."""
        return self._outbox.pending_bytes > self._limits.max_outbox_bytes or self._pace.slowed()

    def _read(self) -> None:
        try:
            chunk = self._client.recv(_READ_BYTES)  # all of what TLS has ready: its records are shorter
        except NOT_NOW:
            if self._state in LISTENING:  # records of TLS that carry nothing keep no connection open
                self._check_time()
            return
        if not chunk:
            self._on(Event.INPUT_ENDED)
            self._lines.end()  # the last line may lack its newline: `printf ... | nc`
            # The client may be gone, or may only have ended its requests: a failed write shows which.
            self._outbox.send_progress_now()
        elif self._state in LISTENING:
            self._lines.feed(chunk)

    def _serve_lines(self) -> bool:
        """Answer complete lines while the outbox has room; whether lines are waiting for room."""
        if self._state in UNRECOGNISED:
            explanation = answer_on_line_port(self._lines.peek(RECOGNISED_BYTES), self._http_url)
            if explanation is not None:
                self._refuse(explanation)
        while self._lines.waiting:
            if self._congested():
                return True
            try:
                line = self._lines.next_line()
            except LineTooLong as error:
                self._refuse(error_line(None, error))
                return False
            if line is None:
                self._await_newline()
                return False
            self._on(_LINE_COMPLETE)
            self._serve_line(line)
        return False

    def _await_newline(self) -> None:
        self._on(Event.LINE_INCOMPLETE)
        limit = self._limits.line_deadline_seconds
        if time.monotonic() >= self._entered_at + limit:
            self._refuse(error_line(None, incomplete(limit)))

    def _serve_line(self, line: bytes) -> None:
        self._active_at = time.monotonic()
        if not self._session.settled and not self._session.settle():
            raise _ClientGone  # before anything is done for it: it was told to try again
        answer = self._respond(line, self._outbox) if line.strip() else None
        if self._session.refused:
            self._refuse(answer or b"")
            return
        if self._session.bad_lines:
            self._session.bad_lines = 0
            self._pace.slow_down()
        if answer is None:
            return
        alone = self._outbox.empty and not self._lines.waiting and not self._sending
        if alone and len(answer) <= PIECE_BYTES:
            # Bypassing the outbox saves a twentieth of the time of a ping.
            self._sending, self._send_began = answer, time.monotonic()
        else:
            self._outbox.add(answer)

    def _refuse(self, explanation: bytes) -> None:
        """Send why, take no further requests, and close."""
        self._on(Event.REFUSED)
        if explanation:
            self._outbox.add(explanation)
        self._lines = LineBuffer(MAX_REQUEST_BYTES)
        self._abandon_each(self._outbox.drop_tickets())

    # Writing.

    def _send(self) -> None:
        while self._sending or not self._outbox.empty:
            now = time.monotonic()
            if not self._sending:
                self._sending = self._outbox.collect(now)
                self._send_began = now
                if not self._sending:
                    return
            try:
                sent = self._client.send(self._sending)
            except NOT_NOW:
                if now >= self._send_began + self._limits.send_deadline_seconds:
                    raise _ClientGone from None
                return
            self._sending = self._sending[sent:]
            self._active_at = now
