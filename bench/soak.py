"""``make soak``: faults of every kind, over and over, on real servers; a report of what was counted.

Every row of ``tests/abuse/injections.py`` has a server of its own, all at once, for as long as ``--seconds``
says or for ``--rounds`` of each. The exit code is 1 if anything was lost, wrong, stuck or left over.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from record import keep

from tests.abuse.injections import FAULTS, Fault
from tests.abuse.subject import Counts, Subject

_REPORT_SECONDS = 30.0
_MOST_PROBLEMS = 5
"""After which a row is given up: what has gone wrong so often needs no further proof."""


class Row(threading.Thread):
    """One fault, made until the time is over."""

    def __init__(self, fault: Fault, until: float, rounds: int | None, seed: int) -> None:
        super().__init__(name=fault.name, daemon=True)
        self.fault = fault
        self.counts = Counts()
        self._until = until
        self._rounds = rounds
        self._chance = random.Random(f"{seed} {fault.name}")

    def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="gpubench-soak-") as folder:
            subject: Subject | None = None
            number = 0
            while self._goes_on():
                try:
                    if subject is None:
                        subject = self._subject(Path(folder, f"{number}"))
                        number += 1
                    one_round(self.fault, subject, self._chance)
                except Exception as error:  # any: the next round has a new server
                    self.counts.problems.append(f"{type(error).__name__}: {error}")
                    if subject is not None:
                        subject.server.kill()
                    subject = None
            if subject is not None:
                self._finish(subject)

    def _subject(self, folder: Path) -> Subject:
        folder.mkdir()
        return Subject(folder, self.counts, environment=self.fault.environment(folder))

    def _goes_on(self) -> bool:
        if len(self.counts.problems) >= _MOST_PROBLEMS:
            return False
        return time.monotonic() < self._until if self._rounds is None else self.counts.faults < self._rounds

    def _finish(self, subject: Subject) -> None:
        try:
            subject.check_kept()
            if (code := subject.server.stop()) != 0:
                subject.problem(f"the server ended with exit code {code}")
        except Exception as error:
            self.counts.problems.append(f"at the end: {type(error).__name__}: {error}")


def one_round(fault: Fault, subject: Subject, chance: random.Random) -> None:
    """Make a fault once, and check what has to hold."""
    began_at = time.monotonic()
    subject.counts.faults += 1
    fault.inject(subject, chance)
    subject.check(began_at)


def total(rows: Sequence[Counts]) -> Counts:
    whole = Counts()
    for each in fields(Counts):
        values = [getattr(row, each.name) for row in rows]
        if each.name == "longest_seconds":
            whole.longest_seconds = max(values, default=0.0)
        else:
            setattr(whole, each.name, sum(values, start=type(getattr(whole, each.name))()))
    return whole


def line(name: str, counts: Counts) -> str:
    leaked = counts.leaked_processes + counts.leaked_threads + counts.leaked_descriptors
    return (
        f"{name:42} {counts.faults:6} {counts.requests:9} {counts.acknowledged:8} "
        f"{counts.longest_seconds:8.1f} {counts.lost:5} {counts.wrong:6} {leaked:7} {len(counts.problems):9}"
    )


def report(rows: Sequence[Row]) -> None:
    print(
        f"{'fault':42} {'faults':>6} {'requests':>9} {'results':>8} {'slowest':>8} {'lost':>5} {'wrong':>6} "
        f"{'leaked':>7} {'problems':>9}"
    )
    for row in rows:
        print(line(row.fault.name, row.counts))
    print(line("together", total([row.counts for row in rows])), flush=True)


def kept(row: Row) -> dict[str, Any]:
    counted = asdict(row.counts)
    counted["longest_seconds"] = round(row.counts.longest_seconds, 1)
    return {"holds": row.fault.holds, **counted}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, 600 if not given")
    parser.add_argument("--rounds", type=int, help="how often each fault is made, in place of --seconds")
    parser.add_argument("--only", default="", metavar="WORDS", help="the faults whose name has these words")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments, 0 if not given")
    return parser.parse_args(arguments)


def main() -> int:
    asked = options()
    begin = time.monotonic()
    chosen = [fault for fault in FAULTS if asked.only in fault.name]
    rows = [Row(fault, begin + asked.seconds, asked.rounds, asked.seed) for fault in chosen]
    for row in rows:
        row.start()
    while any(row.is_alive() for row in rows):
        for row in rows:
            row.join(_REPORT_SECONDS / len(rows))
        done = sum(row.counts.faults for row in rows)
        print(f"{time.monotonic() - begin:.0f} s: {done} faults", file=sys.stderr, flush=True)
    report(rows)
    whole = total([row.counts for row in rows])
    for problem in whole.problems:
        print(f"\n{problem}", file=sys.stderr)
    keep(
        "soak",
        "counts",
        {row.fault.name: kept(row) for row in rows},
        seconds=round(time.monotonic() - begin, 1),
        seed=asked.seed,
        python=platform.python_version(),
        processors=len(os.sched_getaffinity(0)),
        nice=os.nice(0),
    )
    return 1 if whole.problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
