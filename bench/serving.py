"""A server of this checkout for as long as something is compared with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """Its URL and its process; what it says goes to stderr."""
    with tempfile.TemporaryDirectory() as scratch:
        addresses = Path(scratch, "addresses.json")
        server = subprocess.Popen(
            [sys.executable, "-m", "gpubench_server", "--listen", "tcp://127.0.0.1:0",
             "--http", "127.0.0.1:0", "--data-dir", f"{scratch}/data", "--address-file", addresses],
            stdout=sys.stderr,
        )  # fmt: skip
        try:
            while not addresses.exists() and server.poll() is None:
                pass
            yield json.loads(addresses.read_text())["tcp"], server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
