"""The places of a server: how many connections it serves at once, and who gets a place when all are taken.

A connection is new until a client that the server knows has asked for something on it. When all places are
taken, a further connection gets the place of the oldest new one. So clients that connect and stay silent, in
the TLS handshake or after it, cannot shut out others, and a client that was served keeps its place.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

MAX_ENDING = 64
"""Connections whose place was given to another and whose thread has not ended; then no more are replaced."""


class Places:
    """``maximum`` connections, and for a moment ``MAX_ENDING`` more. Any thread."""

    def __init__(self, maximum: int, dismiss: Callable[[socket.socket], None]) -> None:
        """``dismiss`` must make the thread of a replaced connection end, without waiting for it."""
        self._maximum = maximum
        self._dismiss = dismiss
        self._changed = threading.Condition()
        self._taken: set[socket.socket] = set()
        self._new: dict[socket.socket, None] = {}  # of those, the oldest first
        self._replaced: set[socket.socket] = set()
        self._reachable: set[socket.socket] = set()

    @property
    def taken(self) -> int:
        return len(self._taken)

    def take(self, connection: socket.socket) -> bool:
        """Whether there is a place for it, if need be that of another connection, which ends."""
        with self._changed:
            if len(self._taken) >= self._maximum and not self._replace_oldest():
                return False
            self._taken.add(connection)
            self._new[connection] = None
            self._reachable.add(connection)
            return True

    def keep(self, connection: socket.socket) -> bool:
        """The connection is no longer new; false if its place was given to another before."""
        with self._changed:
            self._new.pop(connection, None)
            return connection not in self._replaced

    def detach(self, connection: socket.socket) -> None:
        """It is about to be closed: its descriptor may be another connection's from now on."""
        with self._changed:
            self._new.pop(connection, None)
            self._reachable.discard(connection)

    def release(self, connection: socket.socket) -> None:
        """Its thread ends, or never started."""
        with self._changed:
            self._new.pop(connection, None)
            for each in (self._taken, self._replaced, self._reachable):
                each.discard(connection)
            self._changed.notify_all()

    def wait_until_empty(self, timeout_seconds: float) -> bool:
        """Whether all connections ended within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._taken and not self._replaced, timeout_seconds)

    def shut_down(self, how: int) -> None:
        """Every connection, as ``socket.shutdown`` does."""
        with self._changed:
            for connection in self._reachable:
                with contextlib.suppress(OSError):
                    # Not the method of SSLSocket, which would end the encryption under its thread.
                    socket.socket.shutdown(connection, how)

    def _replace_oldest(self) -> bool:
        """Under the lock: give up the place of the oldest new connection."""
        # One may take its time to end, as in the delay before a wrong token is answered.
        if not self._new or len(self._replaced) >= MAX_ENDING:
            return False
        oldest = next(iter(self._new))
        self._replaced.add(oldest)
        self._taken.discard(oldest)
        del self._new[oldest]
        self._dismiss(oldest)
        return True
