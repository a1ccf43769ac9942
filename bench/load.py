"""``make load``: pings per second and their latency, beside a bare ``socketserver`` echo and aiohttp.

    python bench/load.py [--aiohttp PYTHON] [--rounds 7] [--seconds 1] [--requests 1000000] [--idle 2000]

For TCP, TLS and a Unix socket, at 1, 10, 64 and 500 connections: each server keeps its connections for all
rounds, and the three take turns within each round, every round in another order. The client uses one core
at most, as does a server in Python, so with many connections the figures are of both. Then come connections
that do nothing, the memory over a million requests, and the start of the command. ``PYTHON`` is one with
aiohttp.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from load_client import Peer, Round, ask, connect, connect_all, drive
from record import BUILD, write
from serving import resident_bytes, serving_at

from gpubench.measure.statistics import median

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))

from load_tables import load_tables  # noqa: E402

TRANSPORTS = ("tcp", "tls", "unix")
CONNECTIONS = (1, 10, 64, 500)
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
BODY = PING.rstrip()
HTTP = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (
        len(BODY),
        BODY,
    )
)
MIX = PING * 7 + b"".join(
    b'{"jsonrpc":"2.0","id":1,"method":"%b"}\n' % method for method in (b"status", b"hello", b"nonsense")
)
"""Ten requests: most are pings, one is an error."""

LIMITS = ("max_connections=4000", "idle_seconds=3600", "max_bad_lines_per_second=1000000")
ALLOWED = [word for limit in LIMITS for word in ("--limit", limit)]
"""Room for every connection, and no slowing down of those whose errors are part of the load."""


def main() -> int:
    options = _options()
    _allow_open_files()
    gc.disable()  # a pause of the sender is none of the server
    load_at_start = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        folder = Path(scratch)
        _make_certificate(folder)
        listen = ("tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix://{folder}/ours.sock")
        own = running.enter_context(
            serving_at(
                *(word for url in listen for word in ("--listen", url)),
                *("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem", *ALLOWED),
            )
        )
        peers = [
            Peer("gpubench", own[0], PING, b"\n"),
            Peer(
                "echo", running.enter_context(_beside(sys.executable, "echo_server.py", folder)), PING, b"\n"
            ),
        ]
        if options.aiohttp:
            urls = running.enter_context(_beside(options.aiohttp, "aiohttp_server.py", folder))
            peers.append(Peer("aiohttp", urls, HTTP, b"}}"))
        measured = {
            transport: {
                str(count): rounds(peers, transport, count, folder / "cert.pem", options)
                for count in options.connections
            }
            for transport in options.transports
        }
    kept = {
        "idle": idle(options.idle),
        "memory": memory(options.requests),
        "help_seconds": help_seconds(),
        "load_average": {"before": load_at_start, "after": os.getloadavg()},
        "seconds_a_round": options.seconds,
    }
    path = write("load", "requests/s, s", measured, options.output, **kept)
    print(load_tables(json.loads(path.read_text())))
    print(f"every round is in {path}", file=sys.stderr)
    return 0


def rounds(
    peers: Sequence[Peer], transport: str, count: int, authority: Path, options: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Each round of each server, in turns."""
    found: dict[str, list[Round]] = {peer.name: [] for peer in peers}
    clients = {peer.name: connect_all(peer, transport, count, authority) for peer in peers}
    for number in range(options.rounds):
        first = number % len(peers)
        for peer in (*peers[first:], *peers[:first]):
            drive(clients[peer.name], peer.request, peer.end, options.seconds / 10)
            found[peer.name].append(drive(clients[peer.name], peer.request, peer.end, options.seconds))
    for client in (each for of_peer in clients.values() for each in of_peer):
        client.close()
    rates = ", ".join(
        f"{name} {median([each.per_second for each in made]):.0f}/s" for name, made in found.items()
    )
    print(f"{transport}, {count} connections: {rates}", file=sys.stderr)
    return {name: [asdict(each) for each in made] for name, made in found.items()}


def idle(count: int) -> dict[str, Any]:
    """Connections that are open and do nothing: how many, what they take, and how long another's ping is."""
    with serving_at("--listen", "tcp://127.0.0.1:0", *ALLOWED) as (urls, pid), contextlib.ExitStack() as held:
        peer = Peer("gpubench", urls, PING, b"\n")
        (active,) = connect_all(peer, "tcp", 1, None)
        held.enter_context(active)
        before = resident_bytes(pid)
        silent = [held.enter_context(connect(urls["tcp"], None)) for _ in range(count)]
        beside = drive([active], PING, b"\n", 2)
        taken = resident_bytes(pid) - before
        answered = sum(b'"pong":true' in ask(client, PING, b"\n") for client in silent)
    return {"asked": count, "answered": answered, "resident_bytes": taken, "beside": asdict(beside)}


def memory(requests: int) -> dict[str, Any]:
    """The server's resident memory after each tenth of so many requests, over 8 connections."""
    batch = MIX * 10
    with serving_at("--listen", "tcp://127.0.0.1:0", *ALLOWED) as (urls, pid), contextlib.ExitStack() as held:
        clients = [held.enter_context(connect(urls["tcp"], None)) for _ in range(8)]
        at_rest = resident_bytes(pid)
        sizes, begun = [], time.perf_counter()
        for _ in range(10):
            for number in range(requests // (10 * 100)):
                _batch(clients[number % len(clients)], batch)
            sizes.append(resident_bytes(pid))
        seconds = time.perf_counter() - begun
    return {"requests": requests, "at_rest_bytes": at_rest, "resident_bytes": sizes, "seconds": seconds}


def _batch(client: Any, batch: bytes) -> None:
    client.sendall(batch)
    missing = batch.count(b"\n")
    while missing:
        missing -= client.recv(1 << 20).count(b"\n")


def help_seconds() -> float:
    taken = []
    for _ in range(11):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "gpubench_client.cli", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        taken.append(time.perf_counter() - begin)
    return median(taken)


@contextlib.contextmanager
def _beside(python: str, script: str, folder: Path) -> Iterator[dict[str, str]]:
    """Another server's addresses, for as long as it runs."""
    command = [python, HERE / script, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        yield json.loads(server.stdout.readline())
        server.stdin.close()


def _make_certificate(folder: Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key.pem")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-days", "2", *key, *name, "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def _allow_open_files() -> None:
    """As many as the system allows, for the servers too, which inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what the service costs under load")
    parser.add_argument("--aiohttp", metavar="PYTHON", help="a Python that has aiohttp; left out otherwise")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round of each server")
    parser.add_argument("--transports", nargs="+", choices=TRANSPORTS, default=TRANSPORTS)
    parser.add_argument("--connections", nargs="+", type=int, default=CONNECTIONS)
    parser.add_argument("--requests", type=int, default=1_000_000, help="over which memory should stay flat")
    parser.add_argument("--idle", type=int, default=2000, help="connections that do nothing")
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of load.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
