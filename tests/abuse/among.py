"""Honest clients among hostile ones, each crowd and each honest client a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubench.measure.statistics import percentile
from tests.running import PATIENCE_SECONDS, Running, RunningServer

ROOT = Path(__file__).parents[2]

ROOM = {"max_connections": 2000, "send_deadline_seconds": 5}
"""Limits of a server under which every hostile client is held, rather than replaced by the next one."""


@dataclass(frozen=True)
class Latencies:
    """Of an honest client: its pings, and its pings on new connections, which include connecting."""

    count: int
    p50_seconds: float
    p99_seconds: float
    longest_seconds: float
    new_count: int
    new_p99_seconds: float


@contextmanager
def crowd(server: Running, kinds: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """So many hostile clients of each kind, all connected; what they did is known at the end."""
    done: dict[str, Any] = {}
    words = [f"{kind}={count}" for kind, count in kinds.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.abuse.crowd", str(server.tcp[1]), str(server.tls[1]), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        try:
            if kinds:
                assert process.stdout.readline() == "complete\n"
            yield done
            told, _ = process.communicate(timeout=PATIENCE_SECONDS)
            done.update(json.loads(told))
        finally:
            if process.poll() is None:
                process.kill()


def honest(server: RunningServer, seconds: float) -> Latencies:
    told = subprocess.run(
        [sys.executable, "-m", "tests.abuse.honest", str(server.tcp[1]), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        timeout=seconds + PATIENCE_SECONDS,
        check=True,
    ).stdout
    found = json.loads(told)
    pings, new = sorted(found["pings"]), sorted(found["connections"])
    return Latencies(
        len(pings), percentile(pings, 50), percentile(pings, 99), pings[-1], len(new), percentile(new, 99)
    )
