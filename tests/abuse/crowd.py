"""Hostile clients by the hundred, in a process of their own.

    python -m tests.abuse.crowd TCP_PORT TLS_PORT KIND=COUNT...

Whoever is disconnected comes back at once. Prints a line once everybody has been there, goes on until
standard input ends, and then prints what it did as JSON: connections and bytes by kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

HOST = "127.0.0.1"
PIECE_BYTES = 1 << 16

INVALID = b'{"jsonrpc":"2.0","id":1,"method":7}\nnonsense\n{"id":1}\n[1]\n' * 50
OVERSIZED = b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 70_000
NESTED = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 60_000 + b"\n"
BENCHMARKS = b'{"jsonrpc":"2.0","id":1,"method":"benchmarks"}\n' * 100

Act = Callable[["Crowd", str, socket.socket], Awaitable[None]]


@dataclass
class Crowd:
    """What all clients of a process share."""

    tcp: int
    tls: int
    connections: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    absent: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self, kind: str) -> None:
        """One client, again and again."""
        port, act = KINDS[kind]
        first = True
        while True:
            with socket.socket() as connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                if kind == "deaf":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(connection, (HOST, self.tls if port == "tls" else self.tcp))
                self.connections[kind] += 1
                self.absent -= first
                first = False
                if not self.absent:
                    self.complete.set()
                await act(self, kind, connection)
            await asyncio.sleep(0.001)

    async def send(self, kind: str, connection: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(connection, data)
        self.sent_bytes[kind] += len(data)


async def say_nothing(crowd: Crowd, kind: str, connection: socket.socket) -> None:
    await read_to_the_end(connection)


async def drip(crowd: Crowd, kind: str, connection: socket.socket) -> None:
    for byte in b'{"jsonrpc":"2.0","id":1,"method":"ping"}':
        await crowd.send(kind, connection, bytes([byte]))
        await asyncio.sleep(1)
    await read_to_the_end(connection)


async def never_read(crowd: Crowd, kind: str, connection: socket.socket) -> None:
    while True:
        await crowd.send(kind, connection, BENCHMARKS)


def flood(data: Callable[[], bytes]) -> Act:
    """Send all the time, and read what is answered."""

    async def act(crowd: Crowd, kind: str, connection: socket.socket) -> None:
        reading = asyncio.create_task(read_to_the_end(connection))
        try:
            while not reading.done():
                await crowd.send(kind, connection, data())
                await asyncio.sleep(0)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    return act


async def read_to_the_end(connection: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(connection, PIECE_BYTES):
        pass


KINDS: dict[str, tuple[str, Act]] = {
    "silent": ("tcp", say_nothing),
    "drip": ("tcp", drip),
    "handshake": ("tls", say_nothing),
    "deaf": ("tcp", never_read),
    "invalid": ("tcp", flood(lambda: INVALID)),
    "oversized": ("tcp", flood(lambda: OVERSIZED)),
    "nested": ("tcp", flood(lambda: NESTED)),
    "random": ("tcp", flood(lambda: os.urandom(4096))),
}
"""Which port each kind goes to, and what it does there."""

ALL = {"silent": 500, "drip": 200, "handshake": 100, "deaf": 20} | dict.fromkeys(
    ("invalid", "oversized", "nested", "random"), 5
)


async def main() -> None:
    counts = {kind: int(count) for kind, _, count in (word.partition("=") for word in sys.argv[3:])}
    crowd = Crowd(int(sys.argv[1]), int(sys.argv[2]), absent=sum(counts.values()))
    async with asyncio.TaskGroup() as clients:
        tasks = [
            clients.create_task(crowd.client(kind)) for kind, count in counts.items() for _ in range(count)
        ]
        if counts:
            await crowd.complete.wait()
            print("complete", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
    print(json.dumps({"connections": crowd.connections, "sent_bytes": crowd.sent_bytes}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
