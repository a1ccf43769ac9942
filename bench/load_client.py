"""The clients of the load generator: each has one request in flight, and sends the next at once."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gpubench.measure.statistics import percentile

READ_BYTES = 65_536


@dataclass(frozen=True)
class Peer:
    """A server under load: its URL by transport, the request, and how every answer to it ends."""

    name: str
    urls: dict[str, str]
    request: bytes
    end: bytes


@dataclass(frozen=True)
class Round:
    """What one round of requests came to."""

    per_second: float
    p50_seconds: float
    p99_seconds: float


def connect(url: str, authority: Path | None) -> socket.socket:
    """A connection that has been used once, so that nothing of its set-up is timed."""
    parts = urlsplit(url)
    client: socket.socket
    if parts.scheme == "unix":
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(parts.path)
        return client
    client = socket.create_connection((parts.hostname or "", parts.port or 0), 30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "tls":
        client = ssl.create_default_context(cafile=authority).wrap_socket(client, server_hostname="localhost")
    return client


def connect_all(peer: Peer, transport: str, count: int, authority: Path | None) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        client = connect(peer.urls[transport], authority)
        ask(client, peer.request, peer.end)
        clients.append(client)
    return clients


def ask(client: socket.socket, request: bytes, end: bytes) -> bytes:
    client.sendall(request)
    answer = client.recv(READ_BYTES)
    while not answer.endswith(end):
        more = client.recv(READ_BYTES)
        assert more, f"cut after {answer!r}"
        answer += more
    return answer


def drive(clients: Sequence[socket.socket], request: bytes, end: bytes, seconds: float) -> Round:
    """Requests for so long on all connections at once."""
    begun = time.perf_counter()
    taken = (
        _one(clients[0], request, end, seconds)
        if len(clients) == 1
        else _many(clients, request, end, seconds)
    )
    elapsed = time.perf_counter() - begun
    return Round(len(taken) / elapsed, percentile(sorted(taken), 50), percentile(sorted(taken), 99))


def _one(client: socket.socket, request: bytes, end: bytes, seconds: float) -> list[float]:
    taken = []
    client.settimeout(30)
    until = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < until:
        ask(client, request, end)
        taken.append(time.perf_counter() - begin)
    return taken


def _many(clients: Sequence[socket.socket], request: bytes, end: bytes, seconds: float) -> list[float]:
    """One thread for all: a thread for each would measure this program."""
    taken: list[float] = []
    waiting: dict[int, tuple[socket.socket, float]] = {}
    with select.epoll() as ready:
        for client in clients:
            client.settimeout(0)
            ready.register(client, select.EPOLLIN)
            waiting[client.fileno()] = client, time.perf_counter()
            client.send(request)
        until = time.perf_counter() + seconds
        while waiting:
            events = ready.poll(30)
            assert events, "no answer in 30 s"
            for descriptor, _ in events:
                client, begin = waiting[descriptor]
                if not _complete(client, end):
                    continue
                now = time.perf_counter()
                taken.append(now - begin)
                if now < until:
                    waiting[descriptor] = client, now
                    client.send(request)
                else:
                    del waiting[descriptor]
    return taken


def _complete(client: socket.socket, end: bytes) -> bool:
    """Whether the end of the answer has arrived; its beginning may have come before."""
    last = b""
    try:
        while not last.endswith(end):
            last = client.recv(READ_BYTES)
            assert last, "the server closed the connection"
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    return True
