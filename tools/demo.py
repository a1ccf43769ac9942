"""``make demo``: a server, a benchmark over TCP, and the metrics that it left.

Starts ``gpubench-server`` on free loopback ports, runs the ``stream`` suite through the client,
shows ``/metrics``, leaves the run document in a file, and stops the server.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BIN = Path(sys.executable).parent
SHOWN = (
    "gpubench_last_run_bandwidth",
    "gpubench_last_run_efficiency",
    "gpubench_runs_total",
    "gpubench_device_info",
)


def main() -> int:
    document = Path("demo/run.json")
    document.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpubench-demo-") as scratch:
        address_file = Path(scratch, "address.json")
        server = subprocess.Popen(
            [BIN / "gpubench-server", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0",
             "--data-dir", Path(scratch, "data"), "--address-file", address_file, "--log-level", "warning"]
        )  # fmt: skip
        try:
            addresses = wait_for(address_file, server)
            say(f"gpubench run stream --server {addresses['tcp']} --out {document}")
            code = subprocess.call(
                [BIN / "gpubench", "run", "stream", "--server", addresses["tcp"], "--out", document]
            )
            say(f"curl {addresses['http']}/metrics")
            show_metrics(f"{addresses['http']}/metrics")
        finally:
            server.send_signal(signal.SIGTERM)
            stopped = server.wait(30)
    say(f"the server ended with exit code {stopped}")
    if code == 0:
        print(f"The run document is in {document}; next: .venv/bin/gpubench report {document}")
    else:
        print(f"demo: the run failed with exit code {code}; its messages are above", file=sys.stderr)
    return code or stopped


def wait_for(address_file: Path, server: subprocess.Popen[bytes]) -> dict[str, str]:
    while not address_file.exists():
        if server.poll() is not None:
            sys.exit(f"demo: the server ended with exit code {server.returncode}")
        time.sleep(0.05)
    return json.loads(address_file.read_text())


def show_metrics(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(SHOWN) and not line.endswith(" 0.0"):
                print(line)


def say(text: str) -> None:
    print(f"\n\033[1m$ {text}\033[0m" if sys.stdout.isatty() else f"\n$ {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
