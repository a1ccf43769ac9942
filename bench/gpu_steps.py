"""The steps of gpu_check.py, and the times that they take: what ``--plan`` prints.

The times are for a GPU of 1 TB/s: estimates, from the time limits of the benchmarks and from what an H100 and
an H200 took. With copies alone compared with peers that was 4.5 minutes in all, 4 with kernels in the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from gpubench.benchmarks.registry import BENCHMARKS, STREAM

PAIR_SECONDS = 4.0
"""A run through the socket and one in process, each with the wait for an idle GPU."""


@dataclass(frozen=True)
class Step:
    """``script`` is a program beside this one, ``run`` a run of benchmarks, ``tests`` those of tests/gpu.

    ``seconds`` is what it takes, ``at_most`` what it may take.
    """

    name: str
    kind: Literal["tests", "run", "script"]
    seconds: float
    what: str
    at_most: float = 120.0

    @property
    def document(self) -> str:
        """The file that says that the step was done, in the folder of the results."""
        return f"{self.name}.json" if self.kind == "run" else f"{self.name}.md"


_SECONDS = {
    **dict.fromkeys(("transfer", "occupancy", "sustained", "latency", "cache_sweep"), 15.0),
    "map": 20.0,
    "integrity": 20.0,
}
"""Of benchmarks with many points, or that go through most of the memory; of the others ``_USUAL_SECONDS``."""
_USUAL_SECONDS = 8.0


def steps(pairs: int) -> list[Step]:
    """In the order of their worth: a machine may be there for some minutes only."""
    rest = [name for name in BENCHMARKS if name not in STREAM]
    found = [
        Step("tests", "tests", 30, "the tests that need a GPU", at_most=180),
        Step("stream-1", "run", 15, "the suite stream in a process"),
        Step("peers", "script", 60, "copy, triad, read, write in turns with the driver's, torch's, cupy's"),
        Step("stream-2", "run", 15, "the suite again, in another process"),
        *(Step(name, "run", _SECONDS.get(name, _USUAL_SECONDS), f"the benchmark {name}") for name in rest),
        # Six passes or more of 3000 shapes: 47 s at 3 TB/s, of which 500 programs take a part if none is
        # kept yet; five minutes at 300 GB/s.
        Step("shapes", "script", 120, "a wide grid of access shapes beside the tuner's", at_most=900),
    ]
    if pairs:
        what = "the figure through the socket beside the one in process"
        found.append(Step("pairs", "script", PAIR_SECONDS * pairs, what, at_most=2 * PAIR_SECONDS * pairs))
    return found


def plan(chosen: Sequence[Step], done: Collection[str], budget_seconds: float | None) -> list[str]:
    """A line for each step: whether it would run, and after how many seconds it would be over."""
    lines, clock = ["| step | takes about | over after | what |", "| :-- | --: | --: | :-- |"], 0.0
    for step in chosen:
        if step.name in done:
            lines.append(f"| {step.name} | {step.seconds:.0f} s | done | {step.what} |")
        elif budget_seconds is not None and clock + step.seconds > budget_seconds:
            lines.append(f"| {step.name} | {step.seconds:.0f} s | over the budget | {step.what} |")
        else:
            clock += step.seconds
            lines.append(f"| {step.name} | {step.seconds:.0f} s | {clock:.0f} s | {step.what} |")
    said = f"In all about {clock:.0f} s, estimated for a GPU of 1 TB/s; faster ones need less."
    return [*lines, "", said]
