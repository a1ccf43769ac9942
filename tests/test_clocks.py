"""Time that passes is read from the monotonic clock: the wall clock may be stepped, and dates things only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for name in ("gpubench", "server", "clients") for path in (ROOT / name).rglob("*.py")]

WALL = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

DATES = {
    "gpubench/results/timestamps.py": "when a run began and ended",
    "gpubench/results/store.py": "runs that ended years ago are removed",
    "gpubench/devices/telemetry.py": "NVML dates its own samples, and is asked for those since a date",
    "server/gpubench_server/tokens.py": "the day on which a token expires",
    "server/gpubench_server/waiting_runs.py": "how long a run had waited when the server was started again",
    "clients/gpubench_client/local_runs.py": "stored runs that are younger than some days",
    "clients/gpubench_client/cli/history.py": "`--since 7d`",
    "clients/gpubench_client/cli/repeat.py": "names of files",
}
"""Where the wall clock is read, and for what: never for how long something takes or may take."""


def wall_clock_reads(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in WALL.get(module, ()):
                yield f"{module}.{name}"
            case ast.ImportFrom(module="time", names=names):
                yield from (each.name for each in names if each.name in WALL["time"])


def test_the_wall_clock_is_read_for_dates_alone() -> None:
    found = {
        str(path.relative_to(ROOT)) for path in SOURCES if [*wall_clock_reads(ast.parse(path.read_text()))]
    }
    assert found == set(DATES)


@pytest.mark.parametrize("text", ["time.time()", "from time import time_ns", "datetime.now(UTC)"])
def test_each_way_to_read_it_is_seen(text: str) -> None:
    assert [*wall_clock_reads(ast.parse(text))]


def test_other_clocks_are_not_taken_for_it() -> None:
    assert not [*wall_clock_reads(ast.parse("time.monotonic(); time.sleep(1); now()"))]
