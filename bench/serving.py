"""A server of this checkout for as long as something is compared with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """Its URL and its process; what it says goes to stderr."""
    with serving_at("--listen", "tcp://127.0.0.1:0") as (addresses, pid):
        yield addresses["tcp"], pid


def resident_bytes(pid: int) -> int:
    """The physical memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def serving_at(*options: str) -> Iterator[tuple[dict[str, str], int]]:
    """The URL of each scheme that ``options`` listen on, and the process."""
    with tempfile.TemporaryDirectory() as scratch:
        addresses = Path(scratch, "addresses.json")
        server = subprocess.Popen(
            [sys.executable, "-m", "gpubench_server", *options,
             "--http", "127.0.0.1:0", "--data-dir", f"{scratch}/data", "--address-file", addresses],
            stdout=sys.stderr,
        )  # fmt: skip
        try:
            while not addresses.exists():
                if server.poll() is not None:
                    raise SystemExit(f"gpubench-server ended with {server.returncode}")
                time.sleep(0.01)
            yield json.loads(addresses.read_text()), server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
