"""The children of the gateway: how many there are, what they report, and how they end.

A child is new until its client has shown a valid token. When all places are taken, a further client gets the
place of the oldest new child, as on the server (``places.py``): silent clients cannot shut out others.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import selectors
import signal
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from gpubench.errors import BY_KIND, GpubenchError, NotAuthenticated, TooManyConnections
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.connection_rates import ConnectionRates
from gpubench_server.encode import error_body
from gpubench_server.gateway import link
from gpubench_server.gateway.metrics_file import ACCEPTED, Snapshot
from gpubench_server.limits import Limits
from gpubench_server.log_context import about
from gpubench_server.places import MAX_ENDING
from gpubench_server.rates import Rates

log = logging.getLogger(__name__)

_LINES_PER_SECOND, _BURST_SECONDS = 0.5, 10.0
"""Of the log, for each client address and reason; how many there were is logged at the end."""

_REPLACED = "replaced"

_KINDS = {*BY_KIND, "connection_rate", "request_rate", "handshake", link.NOT_FOR_GATEWAYS, _REPLACED}
_LEVELS = {
    "not_authenticated": logging.WARNING,
    "forbidden": logging.WARNING,
    link.NOT_FOR_GATEWAYS: logging.ERROR,  # the operator has to mend the server's options
}
"""In the log; otherwise INFO."""

_OTHER = "other"
"""The kinds of refusals. A child that an attacker controls could make up others without end."""


@dataclass
class Child:
    pid: int
    origin: Origin
    """Of its client."""
    end: socket.socket
    """The parent's end of their link."""
    client: socket.socket
    """Its connection, which the parent keeps open until a token was valid, and then closes."""
    turn_away: Callable[[socket.socket, GpubenchError], None]
    """Answers ``client`` in the place of a child that was killed, and closes it in time."""
    has_shown: bool = False
    """Its client's token, of which it has one."""
    is_replaced: bool = False
    has_known_fault: bool = False
    """Which is counted and logged already, so that its exit code is not another one."""


class Children:
    """Of all addresses that the gateway listens on. ``selector`` watches their links."""

    def __init__(
        self, selector: selectors.BaseSelector, authenticator: Authenticator, limits: Limits
    ) -> None:
        self._selector = selector
        self._authenticator = authenticator
        self._max_connections = limits.max_connections
        self._living: dict[int, Child] = {}
        self._new: dict[int, Child] = {}  # of those, the oldest first
        self._ending = 0  # of those, how many were replaced, and are not reaped yet
        self._connections = ConnectionRates(limits.max_connections_per_second)
        self._lines = Rates(_BURST_SECONDS)
        self.counts: Counter[str] = Counter()
        """Connections that were accepted, and by reason what was refused."""

    def __len__(self) -> int:
        return len(self._living)

    def snapshot(self, is_serving: bool) -> Snapshot:
        connections = len(self) if is_serving else 0  # those that are left are about to be killed
        return Snapshot(Counter(self.counts), connections, self._max_connections, is_serving)

    def make_room(self, host: str) -> None:
        """For one more child, if need be by ending the oldest new one.

        Raises ``TooManyConnections``, and ``LimitExceeded`` for an address that connects too often.
        """
        self._connections.check(host)
        full = len(self._living) - self._ending >= self._max_connections
        if full and not self.replace_oldest():
            raise self._too_many()

    def replace_oldest(self) -> bool:
        """End the oldest new child; false if there is none, or if too many are ending already."""
        oldest = self._oldest_new()
        # A killed process may take its time to end, for example while it is traced.
        if oldest is None or self._ending >= MAX_ENDING:
            return False
        self._replace(oldest)
        return True

    def add(self, child: Child) -> None:
        self._living[child.pid] = self._new[child.pid] = child
        self.counts[ACCEPTED] += 1
        self._selector.register(child.end, selectors.EVENT_READ, functools.partial(self._hear, child))

    def ended(self, pid: int, status: int) -> None:
        """A child was reaped."""
        child = self._living.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if child.is_replaced:
            self._ending -= 1
            if code == -signal.SIGKILL:  # else it ended by itself, before it was killed
                child.end.close()
                return
        while not child.has_known_fault and self._hear(child):  # its last words
            pass
        self._forget(child)
        self._settle(child)
        child.end.close()
        if code == 0 or child.has_known_fault:
            return
        self.counts["crashed"] += 1
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        text = "the process %d of a client at %s %s; no other client notices"
        log.warning(text, pid, child.origin.host, how, extra=child.origin.log_fields)

    def drain(self) -> None:
        """Let each answer what it was asked for, and end."""
        for child in self._living.values():
            with contextlib.suppress(OSError):
                child.end.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        for child in self._living.values():
            self._kill(child)

    def close_in_child(self) -> None:
        """A child has nothing to do with its siblings."""
        for child in self._living.values():
            child.end.close()
            child.client.close()

    def refused(self, origin: Origin, kind: str, message: str) -> None:
        """Count and log a refusal."""
        kind = kind if kind in _KINDS else _OTHER
        self.counts[kind] += 1
        if not self._lines.wait_seconds((origin.host, kind), _LINES_PER_SECOND):
            level = _LEVELS.get(kind, logging.INFO)
            text = "refused a client at %s: %s: %s"
            log.log(level, text, origin.host, kind, message, extra=origin.log_fields)

    def _hear(self, child: Child) -> bool:
        """Whether there was a message, and may be another."""
        try:
            message = link.received(child.end)
        except OSError:
            return False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._end_taken_over(child, str(error))
            return False
        match message:
            case None:
                self._forget(child)
                return False
            case link.Shown() if child.has_shown:  # so it guesses, or has learnt another client's
                self._end_taken_over(child, "a second token")
                return False
            case link.Shown():
                child.has_shown = True
                self._verify(child, message.token)
            case link.Refused():
                self.refused(child.origin, message.kind, message.message)
            case link.Failed():
                self._failed(child, message.why)
        return True

    def _failed(self, child: Child, why: str) -> None:
        if child.has_known_fault:
            return
        child.has_known_fault = True
        self.counts["failed"] += 1
        if not self._lines.wait_seconds((child.origin.host, "failed"), _LINES_PER_SECOND):
            text = "the process %d of a client at %s: %s"
            log.error(text, child.pid, child.origin.host, why, extra=child.origin.log_fields)

    def _end_taken_over(self, child: Child, sent: str) -> None:
        """It sent what no honest child does."""
        if not child.has_known_fault:
            self.counts["taken_over"] += 1
        child.has_known_fault = True
        text = "the process %d of a client at %s sent %s: it is killed"
        log.error(text, child.pid, child.origin.host, sent, extra=child.origin.log_fields)
        self._forget(child)
        self._kill(child)

    def _verify(self, child: Child, token: str) -> None:
        with about(lambda: child.origin.log_fields):
            self._answer(child, token)

    def _answer(self, child: Child, token: str) -> None:
        try:
            found = self._authenticator.verify(token, child.origin)
            self._settle(child)
            verdict = link.Verdict(str(found.principal))
            fields = {"principal": str(found.principal)}
            log.info("the client at %s is %s", child.origin.host, found.principal, extra=fields)
        except NotAuthenticated as error:
            self.counts["not_authenticated"] += 1
            verdict = link.Verdict(error=error_body(error))
        with contextlib.suppress(OSError):
            link.answer(child.end, verdict)

    def _oldest_new(self) -> Child | None:
        while (child := next(iter(self._new.values()), None)) is not None:
            self._hear(child)  # its first message may be a valid token
            if child.pid in self._new:
                return child
        return None

    def _replace(self, child: Child) -> None:
        child.is_replaced = True
        self._ending += 1
        del self._new[child.pid]
        self._forget(child)
        self._kill(child)  # first: it is not to notice, and report, the end of its connection
        child.turn_away(child.client, self._too_many())
        self.refused(child.origin, _REPLACED, "it showed no valid token, and a new client needed its place")

    def _too_many(self) -> TooManyConnections:
        return TooManyConnections(
            f"this gateway has reached its maximum of {self._max_connections} connections; try again in a "
            "moment",
            retry_after_seconds=1,
        )

    def _settle(self, child: Child) -> None:
        """It is no longer new."""
        self._new.pop(child.pid, None)
        child.client.close()

    def _forget(self, child: Child) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.end)

    def _kill(self, child: Child) -> None:
        if child.pid in self._living:  # not reaped yet, so its number is not another's
            os.kill(child.pid, signal.SIGKILL)
