"""``make hostile``: an honest client's pings among hostile clients, one kind after another, and all at once.

    python bench/hostile.py [--seconds 5]

The server is given room for all of them, so that none is replaced by a later one. Each crowd and the honest
client are processes of their own; on two cores they also compete with each other and with the server.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from record import BUILD, write
from serving import resident_bytes

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from load_tables import hostile_table  # noqa: E402

from tests.abuse.among import ROOM, crowd, honest  # noqa: E402
from tests.abuse.crowd import ALL  # noqa: E402
from tests.certificates import Authority  # noqa: E402
from tests.running import RunningServer, quick  # noqa: E402

LISTEN = ("--listen", "tcp://127.0.0.1:0", "--listen", "tls://127.0.0.1:0")


def main() -> int:
    parser = argparse.ArgumentParser(description="an honest client among hostile ones")
    parser.add_argument("--seconds", type=float, default=5.0, help="of pings among each crowd")
    parser.add_argument("--output", type=Path, default=BUILD, help="folder of hostile.json")
    options = parser.parse_args()
    load_at_start = os.getloadavg()
    crowds = {"none": {}, **{kind: {kind: count} for kind, count in ALL.items()}, "all": ALL}
    found = {name: among(kinds, options.seconds) for name, kinds in crowds.items()}
    about = {"load_average": {"before": load_at_start, "after": os.getloadavg()}, "seconds": options.seconds}
    path = write("hostile", "s", found, options.output, **about)
    print(hostile_table(json.loads(path.read_text())))
    print(f"all figures are in {path}", file=sys.stderr)
    return 0


def among(kinds: dict[str, int], seconds: float) -> dict[str, Any]:
    """A server of its own for each crowd: nothing of an earlier one is left."""
    with tempfile.TemporaryDirectory() as scratch:
        certificate = Authority(Path(scratch, "authority")).issue("server")
        with RunningServer(Path(scratch, "data"), *LISTEN, *certificate.server_options, **ROOM) as server:
            server.run_ok()
            with crowd(server, kinds) as done:
                latencies = honest(server, seconds)
                open_connections = server.ask("status")["open_connections"] - 1
                outcome = server.ask("run", {"benchmarks": [quick()]})["outcome"]
                held_bytes = resident_bytes(server.process.pid)
    print(f"{kinds or 'nobody'}: 99th percentile {latencies.p99_seconds * 1e3:.2f} ms", file=sys.stderr)
    return {
        "kinds": kinds,
        **asdict(latencies),
        "open_connections": open_connections,
        "run": outcome,
        "resident_bytes": held_bytes,
        **done,
    }


if __name__ == "__main__":
    sys.exit(main())
