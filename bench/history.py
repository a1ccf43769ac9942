"""A million measurements: how long it takes to list, to filter and to follow them.

    python bench/history.py [--measurements 1000000] [--data-dir DIR]

Runs are written as a server writes them, but many in one transaction; their documents are small, because
nothing but the figures' table is asked. Prints the median of several times for each question, on a warm file
system cache, with the budget of 200 ms that each has.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from gpubench.comparison.history import trend_of
from gpubench.results.database import open_database
from gpubench.results.document import Measurement, RunDocument, Summary, encode_document
from gpubench.results.history import HistoryQuery
from gpubench.results.machine import DeviceInfo, Environment
from gpubench.results.rows import INSERT, write_end
from gpubench.results.store import FILE_NAME, Store
from gpubench.results.timestamps import milliseconds

BUDGET_SECONDS = 0.2
DEVICES = 4
BENCHMARKS = 25
RUNS_AT_ONCE = 500
ROUNDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--data-dir", type=Path, help="kept, and used again if it has enough runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return measure(options.data_dir or Path(temporary), options.measurements)


def measure(directory: Path, measurements: int) -> int:
    begun = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    fill(directory, -(-measurements // BENCHMARKS))
    path = directory / FILE_NAME
    with Store(directory) as store:
        with store._reading() as database:
            count = database.execute("SELECT COUNT(*) FROM figures").fetchone()[0]
        print(
            f"{count} figures, {path.stat().st_size / 2**20:.0f} MiB, "
            f"built in {time.monotonic() - begun:.0f} s"
        )
        slowest = max(timed(name, question) for name, question in questions(store).items())
    return int(slowest > BUDGET_SECONDS)


def questions(store: Store) -> dict[str, Callable[[], object]]:
    month = milliseconds((datetime.now(UTC) - timedelta(days=30)).isoformat())

    def trend(limit: int) -> list[object]:
        found = store.history(HistoryQuery("cuda:3", "benchmark7", None, limit))
        return [trend_of(series) for series in found.series]

    return {
        "list the newest 20": lambda: store.history(HistoryQuery(limit=20)),
        "list the newest 1,000": lambda: store.history(HistoryQuery(limit=1000)),
        "filter by device, 1,000": lambda: store.history(HistoryQuery(device="cuda:3", limit=1000)),
        "filter by benchmark, 1,000": lambda: store.history(HistoryQuery(benchmark="benchmark7", limit=1000)),
        "filter by all and a month": lambda: store.history(HistoryQuery("cuda:3", "benchmark7", month, 1000)),
        "filter for what does not exist": lambda: store.history(HistoryQuery(device="nope")),
        "trend of a device's benchmark, 1,000": lambda: trend(1000),
        "trend of a device's benchmark, 10,000": lambda: trend(10_000),
        "list the newest runs": lambda: store.latest(20),
    }


def timed(name: str, question: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        question()
        times.append(time.perf_counter() - begun)
    median = statistics.median(times)
    print(f"{name:<40}{median * 1e3:8.1f} ms{'' if median <= BUDGET_SECONDS else '  over 200 ms'}")
    return median


def fill(directory: Path, runs: int) -> None:
    """Runs of four boards in turn, one every ten minutes up to now, written by the store's own code."""
    database = open_database(directory / FILE_NAME)
    (there,) = database.execute("SELECT COUNT(*) FROM runs").fetchone()
    generator = random.Random(1)
    begin = datetime.now(UTC) - timedelta(minutes=10 * runs)
    for first in range(there, runs, RUNS_AT_ONCE):
        with database:
            for number in range(first, min(first + RUNS_AT_ONCE, runs)):
                at = begin + timedelta(minutes=10 * number)
                run = a_run(number, at.isoformat(timespec="milliseconds"), generator)
                small = encode_document(msgspec.structs.replace(run, measurements=[]))
                device = run.device.id if run.device else ""
                database.execute(INSERT, (run.run_id, None, "", device, "[]", run.created_at, b""))
                write_end(database, run, small)
        print(f"\r{first + RUNS_AT_ONCE} of {runs} runs", end="", file=sys.stderr)
    print(file=sys.stderr)
    database.close()


def a_run(number: int, at: str, generator: random.Random) -> RunDocument:
    board = number % DEVICES
    device = DeviceInfo(
        id=f"cuda:{board}",
        alias=f"gpu{board}",
        runtime="cuda",
        kind="gpu",
        name="a board",
        hardware_id=f"0000:0{board}:00.0",
    )
    return RunDocument(
        run_id=f"{number:016x}",
        outcome="ok",
        created_at=at,
        finished_at=at,
        device=device,
        environment=Environment(program_version="0.1.0", kernel_source_hash="0" * 64),
        measurements=[
            figure(f"benchmark{each}", generator.gauss(1500e9, 15e9)) for each in range(BENCHMARKS)
        ],
    )


def figure(benchmark: str, median: float) -> Measurement:
    low, high = median * 0.998, median * 1.002
    return Measurement(
        benchmark=benchmark,
        parameters={"dtype": "float"},
        status="ok",
        verified=True,
        bandwidth_bytes_per_second=Summary(median, low, high, low, high, low, high),
    )


if __name__ == "__main__":
    sys.exit(main())
