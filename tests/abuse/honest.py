"""An honest client that times its pings, in a process of its own: nothing else shares its interpreter.

    python -m tests.abuse.honest PORT SECONDS

Pings once every few milliseconds on one connection, and now and then on a new one. Prints the seconds that
each took as JSON; connecting is part of those on new connections.
"""

from __future__ import annotations

import gc
import json
import socket
import sys
import time

PAUSE_SECONDS = 0.003
PINGS_BETWEEN_CONNECTIONS = 20
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


def ping(client: socket.socket) -> None:
    client.sendall(PING)
    answer = client.recv(4096)
    assert answer == b'{"id":1,"jsonrpc":"2.0","result":{"pong":true}}\n', answer


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def main() -> None:
    gc.disable()
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    pings, connections = [], []
    with connect(port) as client:
        ping(client)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for _ in range(PINGS_BETWEEN_CONNECTIONS):
                begin = time.perf_counter()
                ping(client)
                pings.append(time.perf_counter() - begin)
                time.sleep(PAUSE_SECONDS)
            begin = time.perf_counter()
            with connect(port) as other:
                ping(other)
            connections.append(time.perf_counter() - begin)
    print(json.dumps({"pings": pings, "connections": connections}))


if __name__ == "__main__":
    main()
