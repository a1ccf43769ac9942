"""Sockets of a client, opened by the address of the server."""

from __future__ import annotations

import socket
import time

from gpubench.protocol.messages import MAX_DATAGRAM_BYTES
from gpubench_client.steps import Outcome, Question
from gpubench_client.urls import ServerAddress, SocketPath


def connected(address: ServerAddress, timeout_seconds: float) -> socket.socket:
    """A connection; raises ``OSError`` or ``UnicodeError``."""
    if isinstance(address, SocketPath):
        return _connected(socket.AF_UNIX, socket.SOCK_STREAM, address.path, timeout_seconds)
    connection = socket.create_connection((address.host, address.port), timeout_seconds)
    # Requests are single small writes; waiting to fill a segment only delays them.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(question: Question) -> Outcome:
    """Perform a ``Question``; raises ``OSError`` or ``UnicodeError``."""
    started_at = time.monotonic()
    with _datagram_socket(question.address, question.timeout_seconds) as asking:
        asking.send(question.data)
        asking.settimeout(max(0.001, started_at + question.timeout_seconds - time.monotonic()))
        try:
            data = asking.recv(MAX_DATAGRAM_BYTES)
        except TimeoutError:
            data = None
    return Outcome(time.monotonic() - started_at, data)


def _datagram_socket(address: ServerAddress, timeout_seconds: float) -> socket.socket:
    if isinstance(address, SocketPath):
        return _connected(socket.AF_UNIX, socket.SOCK_DGRAM, address.path, timeout_seconds)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    family, _, _, _, where = found[0]
    return _connected(family, socket.SOCK_DGRAM, where, timeout_seconds)


def _connected(
    family: int, kind: socket.SocketKind, where: str | tuple[object, ...], timeout_seconds: float
) -> socket.socket:
    opened = socket.socket(family, kind)
    try:
        opened.settimeout(timeout_seconds)
        if family == socket.AF_UNIX and kind == socket.SOCK_DGRAM:
            opened.bind("")  # a name that the system makes up, to which the answer can be sent
        opened.connect(where)
    except BaseException:
        opened.close()
        raise
    return opened
