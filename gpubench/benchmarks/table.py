"""The one table of all benchmarks and suites, and the plan that a request becomes.

Nothing here needs a device or a runtime: the server plans and describes from this table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from gpubench.benchmarks.parameters import StreamParameters, is_default
from gpubench.errors import InvalidParameters, UnknownBenchmark
from gpubench.protocol.messages import BenchmarkInfo, BenchmarkRequest, Benchmarks, SuiteInfo
from gpubench.protocol.validation import convert
from gpubench.worker.messages import PlannedBenchmark


@dataclass(frozen=True)
class Benchmark:
    """One row: what it does and what it moves.

    ``arrays`` it works on, of equal size. ``payload_arrays`` and ``bus_arrays`` are what one pass
    moves for the user and over the memory bus, in arrays: ordinary stores of a processor, which
    read the line first, get no credit for that. ``access`` is the class it is tuned in.
    """

    name: str
    access: Literal["read", "write", "copy"]
    arrays: int
    payload_arrays: int
    bus_arrays: int
    summary: str
    explanation: str
    family: str = "stream"
    parameters: type[msgspec.Struct] = StreamParameters


@dataclass(frozen=True)
class Suite:
    name: str
    summary: str
    benchmarks: tuple[str, ...]


_ROWS = (
    Benchmark(
        "copy", "copy", 2, 1, 2, "b[i] = a[i]",
        "One array is read and one is written. Bus bytes are twice the array: a tool that counts a copy once "
        "shows half of this figure.",
    ),
    Benchmark(
        "scale", "copy", 2, 1, 2, "b[i] = q * a[i]",
        "Copy with one multiplication for each element; the arithmetic hides behind the memory.",
    ),
    Benchmark(
        "add", "copy", 3, 1, 3, "c[i] = a[i] + b[i]",
        "Two arrays are read and one is written.",
    ),
    Benchmark(
        "triad", "copy", 3, 1, 3, "c[i] = a[i] + q * b[i]",
        "Two arrays are read and one is written, with a multiply-add: the figure by which memories are "
        "most often compared.",
    ),
    Benchmark(
        "dot", "read", 2, 2, 2, "sum of a[i] * b[i]",
        "Two arrays are read and reduced to one number for each group of threads; every group's number is "
        "checked.",
    ),
    Benchmark(
        "read", "read", 1, 1, 1, "sum of a[i], integers",
        "One array is read and summed as integers, so that the sum is exact and one skipped element shows.",
    ),
    Benchmark(
        "write", "write", 1, 1, 1, "a[i] = counter",
        "One array is written with a different value in every element, and nothing is read.",
    ),
)  # fmt: skip

BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in _ROWS}

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (Suite("stream", "the sustained bandwidth of the memory, seven ways", tuple(BENCHMARKS)),)
}


MAX_BENCHMARKS = 64
"""Of a run, so that its document with all samples stays one that a client takes."""


def plan(requests: Sequence[BenchmarkRequest | str]) -> list[PlannedBenchmark]:
    """Expand suites and check parameters, in the order asked for.

    Raises ``UnknownBenchmark`` and ``InvalidParameters``; both name what is allowed.
    """
    planned: list[PlannedBenchmark] = []
    for index, request in enumerate(requests):
        asked = BenchmarkRequest(name=request) if isinstance(request, str) else request
        for benchmark in _named(asked.name, f"$.params.benchmarks[{index}].name"):
            at = f"$.params.benchmarks[{index}].parameters"
            parameters = convert(asked.parameters, benchmark.parameters, at)
            planned.append(
                PlannedBenchmark(
                    name=benchmark.name,
                    parameters=msgspec.structs.asdict(parameters),
                    default_parameters=is_default(parameters),
                )
            )
    if len(planned) > MAX_BENCHMARKS:
        raise InvalidParameters(
            f"{len(planned)} benchmarks in one run; allowed: {MAX_BENCHMARKS}, suites expanded",
            path="$.params.benchmarks",
        )
    return planned


def _named(name: str, at: str) -> list[Benchmark]:
    if name in SUITES:
        return [BENCHMARKS[member] for member in SUITES[name].benchmarks]
    if name in BENCHMARKS:
        return [BENCHMARKS[name]]
    allowed = [*BENCHMARKS, *SUITES]
    raise UnknownBenchmark(
        f"no benchmark or suite {name!r}; allowed: benchmarks {', '.join(BENCHMARKS)}; "
        f"suites {', '.join(SUITES)}",
        path=at,
        allowed=allowed,
    )


def describe() -> Benchmarks:
    """The table as the wire tells it."""
    return Benchmarks(
        benchmarks=[
            BenchmarkInfo(
                name=row.name,
                family=row.family,
                summary=row.summary,
                explanation=row.explanation,
                payload_arrays=row.payload_arrays,
                bus_arrays=row.bus_arrays,
                parameters=msgspec.json.schema(row.parameters),
            )
            for row in BENCHMARKS.values()
        ],
        suites=[SuiteInfo(suite.name, suite.summary, list(suite.benchmarks)) for suite in SUITES.values()],
    )
