"""``make bench``: what the service costs: ping, 64 clients at once, memory at rest, start of the command."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gpubench.measure.statistics import median, percentile

PINGS = 5000
CLIENTS = 64
PINGS_EACH = 200
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


def ping(address: tuple[str, int], count: int) -> list[float]:
    """Seconds of each ping on one connection."""
    with socket.create_connection(address) as client, client.makefile("rb") as answers:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = []
        for _ in range(count):
            begin = time.perf_counter()
            client.sendall(PING)
            answer = answers.readline()
            taken.append(time.perf_counter() - begin)
            assert b'"pong":true' in answer, answer
        return taken


def at_once(address: tuple[str, int]) -> tuple[int, float]:
    """How many of ``CLIENTS`` clients got every answer, and the seconds until the last one had."""
    served: list[int] = []
    gate = threading.Barrier(CLIENTS)

    def client() -> None:
        gate.wait()
        served.append(len(ping(address, PINGS_EACH)))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return served.count(PINGS_EACH), time.perf_counter() - begin


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def help_seconds() -> float:
    command = [sys.executable, "-m", "gpubench_client.cli", "--help"]
    taken = []
    for _ in range(11):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return median(taken)


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        addresses = Path(scratch, "addresses.json")
        server = subprocess.Popen(
            [sys.executable, "-m", "gpubench_server", "--listen", "tcp://127.0.0.1:0",
             "--http", "127.0.0.1:0", "--data-dir", f"{scratch}/data", "--address-file", addresses]
        )  # fmt: skip
        try:
            while not addresses.exists() and server.poll() is None:
                pass
            host, _, port = json.loads(addresses.read_text())["tcp"].removeprefix("tcp://").rpartition(":")
            address = (host, int(port))
            ping(address, 500)
            rest = resident_mb(server.pid)
            taken = sorted(ping(address, PINGS))
            served, seconds = at_once(address)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    p99 = percentile(taken, 99) * 1e6
    print(f"ping: median {median(taken) * 1e6:.1f} us, 99th percentile {p99:.1f} us, {PINGS} pings")
    print(f"{CLIENTS} clients at once, {PINGS_EACH} pings each: {served} served in {seconds:.2f} s")
    print(f"server at rest: {rest:.1f} MB resident")
    print(f"gpubench --help: {help_seconds() * 1e3:.0f} ms")
    return 0 if served == CLIENTS else 1


if __name__ == "__main__":
    sys.exit(main())
