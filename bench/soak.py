"""``make soak``: faults of every kind, over and over, on real servers; a report of what was counted.

Every row of ``tests/abuse/injections.py`` has a server of its own; they take turns for as long as
``--seconds`` says, or for ``--rounds`` of each. The exit code is 1 if anything was lost, wrong, stuck or left
over.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from record import keep

from tests.abuse.injections import FAULTS, Fault
from tests.abuse.subject import Counts, Subject

_REPORT_SECONDS = 30.0
_MOST_PROBLEMS = 5
"""After which a row is given up: what has gone wrong so often needs no further proof."""


class Row:
    """One fault and the server that it is made in."""

    def __init__(self, fault: Fault, folder: Path, chance: random.Random) -> None:
        self.fault = fault
        self.counts = Counts()
        self._folder = folder
        self._chance = chance
        self._subject: Subject | None = None
        self._servers = 0
        self._reported = 0

    @property
    def given_up(self) -> bool:
        return len(self.counts.problems) >= _MOST_PROBLEMS

    def step(self) -> None:
        """Make the fault once; after a problem with a new server."""
        try:
            if self._subject is None:
                self._subject = self._start()
            self.fault.make(self._subject, self._chance)
        except Exception as error:  # whatever it is
            self.counts.problems.append(f"{type(error).__name__}: {error}")
            if self._subject is not None:
                self._subject.server.kill()
            self._subject = None
        self._report_problems()

    def finish(self) -> None:
        """All results that clients got are there, and the server ends in order."""
        subject, self._subject = self._subject, None
        if subject is None:
            return
        try:
            subject.check_kept()
            if (code := subject.server.stop()) != 0:
                subject.problem(f"the server ended with exit code {code}")
        except Exception as error:
            self.counts.problems.append(f"at the end: {type(error).__name__}: {error}")
            subject.server.kill()
        self._report_problems()

    def _report_problems(self) -> None:
        """At once: a report at the end alone would be lost with the process."""
        for problem in self.counts.problems[self._reported :]:
            print(f"{self.fault.name}, fault {self.counts.faults}: {problem}\n", file=sys.stderr, flush=True)
        self._reported = len(self.counts.problems)

    def _start(self) -> Subject:
        folder = self._folder / str(self._servers)
        self._servers += 1
        folder.mkdir(parents=True)
        return Subject(folder, self.counts, environment=self.fault.environment(folder))


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
    longest_seconds = round(row.counts.longest_seconds, 1)
    return {"holds": row.fault.holds, **vars(row.counts), "longest_seconds": longest_seconds}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, 600 if not given")
    parser.add_argument("--rounds", type=int, help="how often each fault is made, in place of --seconds")
    parser.add_argument("--only", default="", metavar="WORDS", help="the faults whose name has these words")
    parser.add_argument("--at-once", type=int, default=4, help="faults at the same time, 4 if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments, 0 if not given")
    return parser.parse_args(arguments)


def soak(rows: Sequence[Row], at_once: int, goes_on: Callable[[Row], bool]) -> None:
    """Make the faults in turns, so that each is made equally often, ``at_once`` at the same time.

    After an interrupt those in progress are the last ones; a second one ends all at once.
    """
    begin = reported = time.monotonic()
    interrupted = False
    with ThreadPoolExecutor(at_once) as pool:
        steps = {pool.submit(row.step): row for row in rows}
        ends: list[Future[None]] = []
        while steps:
            try:
                done, _ = wait(steps, _REPORT_SECONDS, FIRST_COMPLETED)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                continue
            for step in done:
                row = steps.pop(step)
                if goes_on(row) and not row.given_up and not interrupted:
                    steps[pool.submit(row.step)] = row
                else:
                    ends.append(pool.submit(row.finish))
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                whole = total([row.counts for row in rows])
                print(
                    f"{reported - begin:.0f} s: {whole.faults} faults, {whole.acknowledged} results, "
                    f"{len(whole.problems)} problems",
                    file=sys.stderr,
                    flush=True,
                )
        wait(ends)


def main() -> int:
    asked = options()
    begin = time.monotonic()

    def goes_on(row: Row) -> bool:
        if asked.rounds is not None:
            return row.counts.faults < asked.rounds
        return time.monotonic() < begin + asked.seconds

    with tempfile.TemporaryDirectory(prefix="gpubench-soak-") as folder:
        rows = [
            Row(fault, Path(folder, str(number)), random.Random(f"{asked.seed} {fault.name}"))
            for number, fault in enumerate(FAULTS)
            if asked.only in fault.name
        ]
        soak(rows, asked.at_once, goes_on)
    report(rows)
    whole = total([row.counts for row in rows])
    keep(
        "soak",
        "counts",
        {row.fault.name: kept(row) for row in rows},
        seconds=round(time.monotonic() - begin, 1),
        seed=asked.seed,
        at_once=asked.at_once,
        python=platform.python_version(),
        processors=len(os.sched_getaffinity(0)),
        nice=os.nice(0),
    )
    return 1 if whole.problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
