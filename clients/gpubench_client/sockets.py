"""Sockets of a client, opened by the address of the server."""

from __future__ import annotations

import socket
import time
from typing import Any

from gpubench.protocol.messages import MAX_DATAGRAM_BYTES
from gpubench_client.steps import Outcome, Question
from gpubench_client.urls import ServerAddress, SocketPath


def connected(address: ServerAddress, timeout_seconds: float) -> socket.socket:
    """A connection; raises ``OSError`` or ``UnicodeError``."""
    if not isinstance(address, SocketPath):
        connection = socket.create_connection((address.host, address.port), timeout_seconds)
        # Requests are single small writes; waiting to fill a segment only delays them.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(question: Question) -> Outcome:
    """Perform a ``Question``; raises ``OSError`` or ``UnicodeError``."""
    started_at = time.monotonic()
    family, where = _datagram_address(question.address)
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(question.timeout_seconds)
        if family == socket.AF_UNIX:
            # A name that the system makes up. Not connected: the server answers from another socket.
            asking.bind("")
            asking.sendto(question.data, where)
        else:
            asking.connect(where)  # so that recv fails if nobody listens there
            asking.send(question.data)
        asking.settimeout(max(0.001, started_at + question.timeout_seconds - time.monotonic()))
        try:
            data = asking.recv(MAX_DATAGRAM_BYTES)
        except TimeoutError:
            data = None
    return Outcome(time.monotonic() - started_at, data)


def _datagram_address(address: ServerAddress) -> tuple[int, Any]:
    if isinstance(address, SocketPath):
        return socket.AF_UNIX, address.path
    family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
    return family, where
