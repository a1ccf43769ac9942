"""``make bench``: what the service costs: ping, 64 clients at once, memory at rest, start of the command."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from serving import serving

from gpubench.measure.statistics import median, percentile

ROUNDS = 6
PINGS = 2000
CLIENTS = 64
PINGS_EACH = 200
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
ECHO = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while client.recv(65536):
    client.sendall(b'{"id":1,"jsonrpc":"2.0","result":{"pong":true}}\\n')
"""
"""What a ping cannot be quicker than in this language: receive, send, and nothing else."""


def ping(address: tuple[str, int], count: int) -> list[float]:
    """Seconds of each ping on one connection."""
    with socket.create_connection(address) as client:
        return pings(client, count)


def pings(client: socket.socket, count: int) -> list[float]:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    taken = []
    with client.makefile("rb") as answers:
        for _ in range(count):
            begin = time.perf_counter()
            client.sendall(PING)
            answer = answers.readline()
            taken.append(time.perf_counter() - begin)
            assert b'"pong":true' in answer, answer
    return taken


def beside_echo(address: tuple[str, int]) -> tuple[list[float], list[float]]:
    """Pings of the server and of a bare echo, in turns: the machine's own speed changes meanwhile."""
    command = [sys.executable, "-c", ECHO]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as echo:
        assert echo.stdout
        bare = ("127.0.0.1", int(echo.stdout.readline()))
        ours, theirs = [], []
        with socket.create_connection(address) as one, socket.create_connection(bare) as other:
            for _ in range(ROUNDS):
                ours += pings(one, PINGS)
                theirs += pings(other, PINGS)
    return ours, theirs


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
    with serving() as (url, pid):
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        address = (host, int(port))
        ping(address, 500)
        rest = resident_mb(pid)
        taken, echoed = map(sorted, beside_echo(address))
        served, seconds = at_once(address)
    p99 = percentile(taken, 99) * 1e6
    print(
        f"ping: median {median(taken) * 1e6:.1f} us, 99th percentile {p99:.1f} us, {len(taken)} pings; "
        f"a bare echo in turns with it: median {median(echoed) * 1e6:.1f} us"
    )
    print(f"{CLIENTS} clients at once, {PINGS_EACH} pings each: {served} served in {seconds:.2f} s")
    print(f"server at rest: {rest:.1f} MB resident")
    print(f"gpubench --help: {help_seconds() * 1e3:.0f} ms")
    return 0 if served == CLIENTS else 1


if __name__ == "__main__":
    sys.exit(main())
