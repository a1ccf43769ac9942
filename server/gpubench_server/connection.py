"""One client's connection: its thread, its socket, its lines.

One thread owns the socket, reads and writes it; all others post to the outbox and poke a pipe. The
socket never blocks, so the thread sees to its deadlines whatever the client does or leaves undone.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import time
from typing import Protocol

from gpubench.errors import GpubenchError, InvalidRequest, LineTooLong, RequestTimeout
from gpubench.protocol.messages import MAX_REQUEST_BYTES
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.outbox import PIECE_BYTES, Outbox, Ticket

_TLS_HANDSHAKE = 0x16
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|TRACE|PATCH|PRI) ")
_READ_BYTES = 64 * 1024
_READABLE = select.POLLIN
_LOST = select.POLLERR | select.POLLHUP | select.POLLNVAL


class LineHandler(Protocol):
    """What a connection needs of the service behind it."""

    def respond(self, line: bytes, outbox: Outbox) -> bytes | None:
        """The answer to a line, or None where there is none or it comes through the outbox."""

    def abandon(self, ticket: Ticket) -> None:
        """The client of this request is gone."""


class _ClientGone(Exception):
    """Nobody is there to talk to."""


class ClientConnection:
    """Serves one connected socket until the client leaves, breaks the rules or stops reading."""

    def __init__(self, client: socket.socket, service: LineHandler, limits: Limits) -> None:
        self._client = client
        self._service = service
        self._limits = limits
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._outbox = Outbox(
            self._wake,
            heartbeat_seconds=limits.heartbeat_seconds,
            progress_interval_seconds=limits.progress_interval_seconds,
        )
        # `poll` and not a selector: a socket registered for nothing still reports that its peer is
        # gone, which is how a client that had ended its requests is watched.
        self._poll = select.poll()
        self._mask = -1
        self._received = b""
        self._sending = b""
        self._first_line = True
        self._end_of_input = False
        self._refused = False
        self._active_at = time.monotonic()
        self._line_began: float | None = None
        self._send_began = 0.0
        self._linger_until: float | None = None

    def serve(self) -> None:
        self._client.setblocking(False)
        self._poll.register(self._wake_read, select.POLLIN)
        try:
            while not self._finished():
                self._wait()
                self._step()
        except (_ClientGone, OSError):
            pass
        finally:
            for ticket in self._outbox.close():
                self._service.abandon(ticket)
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _step(self) -> None:
        """What a ping goes through: whatever it does not need is behind a condition."""
        if self._received:
            self._serve_lines()
        if self._sending or not self._outbox.empty:
            self._send()
        if self._refused and not self._sending and self._linger_until is None:
            # Closing over unread input resets the connection, and the reset can overtake the error.
            self._client.shutdown(socket.SHUT_WR)
            self._linger_until = time.monotonic() + self._limits.linger_seconds

    # Waiting.

    def _wait(self) -> None:
        """Until there is something to read, room to write, a post in the outbox, or a deadline."""
        self._watch()
        for descriptor, event in self._poll.poll(self._patience_ms()):
            if descriptor == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 64)
            elif event & _READABLE:
                self._read()
            elif event & _LOST:
                raise _ClientGone

    def _watch(self) -> None:
        # Nothing more is read while whole lines wait to be served. A refused client's input is read too,
        # and thrown away.
        full = b"\n" in self._received or self._congested()
        wanted = 0 if full or self._end_of_input else _READABLE
        if self._sending:
            wanted |= select.POLLOUT
        if wanted != self._mask:
            self._poll.register(self._client, wanted)
            self._mask = wanted

    def _patience_ms(self) -> float:
        """Until the next deadline; a millisecond more, or the loop would spin just before it."""
        if b"\n" in self._received and not self._congested():
            return 0.0  # lines that waited for room in the outbox, which there is now
        return max(0.0, self._next_deadline() - time.monotonic()) * 1000 + 1

    def _next_deadline(self) -> float:
        limits, idle_at = self._limits, self._active_at + self._limits.idle_seconds
        busy = bool(self._sending) or not self._outbox.empty
        if not busy and self._line_began is None and self._linger_until is None:
            return idle_at
        found = [] if busy else [idle_at]
        if self._linger_until is not None:
            found.append(self._linger_until)
        if self._line_began is not None:
            found.append(self._line_began + limits.line_deadline_seconds)
        if self._sending:
            found.append(self._send_began + limits.send_deadline_seconds)
        else:
            found.extend(self._outbox.next_due())
        return min(found, default=time.monotonic() + limits.idle_seconds)

    def _finished(self) -> bool:
        if self._sending:
            return False
        if self._linger_until is not None:
            return self._end_of_input or time.monotonic() >= self._linger_until
        if self._refused or not self._outbox.empty:
            return False
        if self._end_of_input:
            return not self._received  # lines may wait for room in the outbox
        return time.monotonic() >= self._active_at + self._limits.idle_seconds

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    # Reading.

    def _congested(self) -> bool:
        return self._outbox.pending_bytes > self._limits.max_outbox_bytes

    def _read(self) -> None:
        try:
            chunk = self._client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._end_of_input = True
            if self._received:  # the last line may lack its newline: `printf ... | nc`
                self._received += b"\n"
            # Gone, or only done with asking? Whoever is gone does not take a progress line.
            self._outbox.hurry()
        elif not self._refused:
            self._received += chunk

    def _serve_lines(self) -> None:
        """Answer the complete lines that were received, as long as the client takes the answers."""
        if self._first_line and not self._speaks_our_protocol():
            return
        served = False
        while self._received and not self._congested() and not self._refused:
            line, newline, rest = self._received.partition(b"\n")
            if len(line) >= MAX_REQUEST_BYTES:
                self._refuse(LineTooLong(f"a request line is longer than {MAX_REQUEST_BYTES} bytes"))
                return
            if not newline:
                self._keep_line_deadline(is_new=served)
                return
            self._received = rest
            self._serve_line(line)
            served = True
        self._line_began = None

    def _keep_line_deadline(self, *, is_new: bool) -> None:
        """Of a line whose end has not come."""
        now, limit = time.monotonic(), self._limits.line_deadline_seconds
        if self._line_began is None or is_new:
            self._line_began = now
        elif now >= self._line_began + limit:
            self._refuse(
                RequestTimeout(
                    f"a line was begun and not ended within {limit:g} s; a request ends with a newline"
                )
            )

    def _serve_line(self, line: bytes) -> None:
        self._active_at = time.monotonic()
        answer = self._service.respond(line, self._outbox) if line.strip() else None
        if answer is None:
            return
        alone = self._outbox.empty and not self._received and not self._sending
        if alone and len(answer) <= PIECE_BYTES:
            # Past the outbox, which saves a ping a twentieth of its time.
            self._sending, self._send_began = answer, time.monotonic()
        else:
            self._outbox.add(answer)

    def _speaks_our_protocol(self) -> bool:
        """Whether the first bytes can be ours; peers that mistook the port are told."""
        if self._received[0] == _TLS_HANDSHAKE:
            self._refuse(InvalidRequest("this port speaks plain text, not TLS: use a tcp:// address"))
        elif _HTTP.match(self._received):
            self._refuse(
                InvalidRequest(
                    "this port speaks newline-delimited JSON-RPC 2.0, not HTTP; "
                    "metrics are on the HTTP port (9707 unless told otherwise)"
                )
            )
        elif len(self._received) >= len(b"OPTIONS ") or b"\n" in self._received:
            self._first_line = False
        return not self._refused

    def _refuse(self, error: GpubenchError) -> None:
        """Say why, take no further requests, and close."""
        self._outbox.add(error_line(None, error))
        self._refused = True
        self._received = b""
        self._line_began = None
        for ticket in self._outbox.give_up_tickets():
            self._service.abandon(ticket)

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
            except BlockingIOError:
                if now >= self._send_began + self._limits.send_deadline_seconds:
                    raise _ClientGone from None
                return
            self._sending = self._sending[sent:]
            self._active_at = now
