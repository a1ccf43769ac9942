"""Relays between one client and the server: checked lines to the server, all bytes to the client.

Neither side is read while the other has not taken what was read before, so a relay holds some 200 KiB at
most, however long a run document is, and the server notices a client that does not read as if it were its
own.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Callable

from gpubench.errors import GpubenchError, LineTooLong
from gpubench.framing import LineBuffer
from gpubench_server.bad_lines import Pace, incomplete
from gpubench_server.encode import error_line
from gpubench_server.gateway.link import Link
from gpubench_server.gateway.requests import BadRequest
from gpubench_server.limits import Limits
from gpubench_server.tls import NOT_NOW

PIECE_BYTES = 64 * 1024
_LOST = select.POLLERR | select.POLLHUP | select.POLLNVAL


class ClientGone(Exception):
    """The client disconnected, or does not read."""


class Relay:
    """``check`` makes a line for the server of a client's, or raises ``BadRequest``. ``lines`` may hold what
    the client sent after its first line. Neither socket blocks."""

    def __init__(
        self,
        client: socket.socket,
        core: socket.socket,
        link: Link,
        lines: LineBuffer,
        limits: Limits,
        check: Callable[[bytes], bytes],
    ) -> None:
        self._client = client
        self._core = core
        self._link = link
        self._lines = lines
        self._limits = limits
        self._check = check
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._to_core = b""
        self._to_client = b""
        self._sending_since = 0.0
        self._own = b""
        """Answers of the gateway that wait until the server has ended the line that it is sending."""
        self._in_line_of_core = False
        self._in_line_since: float | None = None
        self._reads_client = True
        self._pace = Pace(limits.max_bad_lines_per_second)
        self._told_core = False
        self._core_open = True
        self._ends_at = math.inf

    def run(self, first: bytes) -> None:
        """Relay from this line on, until one side ends; raises ``ClientGone``."""
        self._to_core = first
        self._watch(self._link.fileno(), select.POLLIN)
        while True:
            self._serve_lines()
            self._end_requests()
            if not self._core_open and not self._to_client:
                return
            self._wait()

    # What may happen next.

    @property
    def _congested(self) -> bool:
        full = bool(self._to_core) or len(self._to_client) + len(self._own) > PIECE_BYTES
        return full or self._pace.slowed()

    def _wait(self) -> None:
        reads = self._reads_client and not self._congested
        if not reads:  # it is not the client that is slow
            self._in_line_since = None
        client = (select.POLLIN if reads else 0) | (select.POLLOUT if self._to_client else 0)
        self._watch(self._client.fileno(), client)
        if self._core_open:
            core = (0 if self._to_client else select.POLLIN) | (select.POLLOUT if self._to_core else 0)
            # The end of a Unix socket is reported even to those who wait for nothing: again and again.
            self._watch(self._core.fileno(), core or None)
        deadline = self._deadline(reads)
        wait_ms = None if deadline == math.inf else max(0.0, deadline - time.monotonic()) * 1000 + 1
        for descriptor, event in self._poll.poll(wait_ms):
            if descriptor == self._link.fileno():
                self._drain()
            elif descriptor == self._client.fileno():
                self._client_event(event)
            elif self._core_open:
                self._core_event(event)
        self._check_deadlines(reads)

    def _watch(self, descriptor: int, mask: int | None) -> None:
        """``None`` is not at all; 0 is for its end alone."""
        if mask == self._masks.get(descriptor):
            return
        if mask is None:
            self._poll.unregister(descriptor)
            del self._masks[descriptor]
        else:
            self._poll.register(descriptor, mask)
            self._masks[descriptor] = mask

    def _deadline(self, reads: bool) -> float:
        deadline = self._ends_at
        if self._pace.slowed():
            deadline = min(deadline, self._pace.reads_at)
        if self._to_client:
            deadline = min(deadline, self._sending_since + self._limits.send_deadline_seconds)
        if reads and self._in_line_since is not None:
            deadline = min(deadline, self._in_line_since + self._limits.line_deadline_seconds)
        return deadline

    def _check_deadlines(self, reads: bool) -> None:
        now = time.monotonic()
        if now >= self._ends_at:
            raise ClientGone
        if self._to_client and now >= self._sending_since + self._limits.send_deadline_seconds:
            raise ClientGone
        limit = self._limits.line_deadline_seconds
        if reads and self._in_line_since is not None and now >= self._in_line_since + limit:
            self._refuse(incomplete(limit))

    def _drain(self) -> None:
        """The gateway ends: no more requests; what was asked for is still answered."""
        self._watch(self._link.fileno(), None)
        self._reads_client = False
        self._lines = LineBuffer(PIECE_BYTES)
        self._ends_at = time.monotonic() + self._limits.drain_seconds

    # From the client to the server.

    def _client_event(self, event: int) -> None:
        if event & select.POLLOUT:
            self._send_to_client()
        if event & select.POLLIN:
            self._read_client()
        elif event & _LOST:
            raise ClientGone

    def _read_client(self) -> None:
        try:
            chunk = self._client.recv(PIECE_BYTES)  # all of what TLS has ready: its records are shorter
        except NOT_NOW:
            return
        except OSError:
            raise ClientGone from None
        if chunk:
            self._lines.feed(chunk)
        else:
            self._reads_client = False
            self._lines.end()  # the last line may lack its newline

    def _serve_lines(self) -> None:
        while self._core_open and self._lines.waiting and not self._congested:
            try:
                line = self._lines.next_line()
            except LineTooLong as error:
                self._refuse(error)
                return
            if line is None:
                self._in_line_since = self._in_line_since or time.monotonic()
                return
            self._in_line_since = None
            if line.strip():
                self._serve_line(line)

    def _serve_line(self, line: bytes) -> None:
        try:
            self._to_core += self._check(line)
        except BadRequest as bad:
            self._pace.slow_down()
            self._link.refused(bad.error)
            if bad.answer is not None:
                self._answer(bad.answer)
            return
        self._send_to_core()

    def _send_to_core(self) -> None:
        try:
            sent = self._core.send(self._to_core)
        except NOT_NOW:
            return
        except OSError:  # what it said before it ended is still to be read
            self._to_core = b""
            self._reads_client = False
            return
        self._to_core = self._to_core[sent:]

    def _end_requests(self) -> None:
        """Once all of the client's input is passed on, end it at the server too: answers still come."""
        if self._core_open and not (self._reads_client or self._to_core or self._told_core):
            if self._lines.waiting:  # they wait for room
                return
            self._told_core = True
            with contextlib.suppress(OSError):
                self._core.shutdown(socket.SHUT_WR)

    # From the server to the client.

    def _core_event(self, event: int) -> None:
        if self._to_core and event & (select.POLLOUT | _LOST):
            self._send_to_core()
        if event & (select.POLLIN | _LOST) and not self._to_client:
            self._read_core()

    def _read_core(self) -> None:
        try:
            chunk = self._core.recv(PIECE_BYTES)
        except NOT_NOW:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close_core()
            return
        if self._own:
            end = chunk.find(b"\n") + 1
            if end:
                chunk, self._own = chunk[:end] + self._own + chunk[end:], b""
        self._in_line_of_core = not chunk.endswith(b"\n")
        self._queue(chunk)

    def _close_core(self) -> None:
        if self._core_open:
            self._watch(self._core.fileno(), None)
            self._core.close()
            self._core_open = self._reads_client = False
            self._to_core = b""

    def _queue(self, data: bytes) -> None:
        if not self._to_client:
            self._sending_since = time.monotonic()
        self._to_client += data
        self._send_to_client()

    def _send_to_client(self) -> None:
        while self._to_client:
            try:
                sent = self._client.send(self._to_client)
            except NOT_NOW:
                return
            except OSError:
                raise ClientGone from None
            self._to_client = self._to_client[sent:]

    def _answer(self, line: bytes) -> None:
        """Answer in the server's place."""
        if self._in_line_of_core:
            self._own += line
        else:
            self._queue(line)

    def _refuse(self, error: GpubenchError) -> None:
        """The client broke the protocol: why, and the end of the connection and of the runs that it waits
        for, as on the server's own ports."""
        self._link.refused(error)
        self._close_core()
        if not self._in_line_of_core:
            self._queue(error_line(None, error))
