"""What a request becomes: suites expanded, parameters checked and complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gpubench.benchmarks.parameters import Parameters, is_default
from gpubench.benchmarks.suites import suites
from gpubench.benchmarks.table import BENCHMARKS, Benchmark, StreamBenchmark
from gpubench.errors import InvalidParameters, UnknownBenchmark
from gpubench.protocol.messages import BenchmarkInfo, BenchmarkRequest, Benchmarks, SuiteInfo
from gpubench.protocol.validation import convert
from gpubench.worker.messages import PlannedBenchmark

MAX_BENCHMARKS = 64
"""Of a run, so that its document with all samples stays one that a client takes."""


def plan(requests: Sequence[BenchmarkRequest | str]) -> list[PlannedBenchmark]:
    """Expand suites and check parameters, in the order asked for.

    Raises ``UnknownBenchmark`` and ``InvalidParameters``; both name what is allowed.
    """
    planned: list[PlannedBenchmark] = []
    for index, request in enumerate(requests):
        asked = BenchmarkRequest(name=request) if isinstance(request, str) else request
        for benchmark, own in _named(asked.name, f"$.params.benchmarks[{index}].name"):
            at = f"$.params.benchmarks[{index}].parameters"
            parameters = _checked({**own, **asked.parameters}, benchmark, at)
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


def _checked(parameters: dict[str, Any], benchmark: Benchmark, at: str) -> Parameters:
    try:
        return convert(parameters, benchmark.parameters, at)
    except InvalidParameters as error:  # of which member of a suite is not in its path
        raise InvalidParameters(f"{benchmark.name}: {error.message}", **error.details) from None


def _named(name: str, at: str) -> list[tuple[Benchmark, dict[str, Any]]]:
    """Benchmarks, each with what its suite says of it."""
    known = suites()
    if name in known:
        return [(BENCHMARKS[member.name], member.parameters) for member in known[name].members]
    if name in BENCHMARKS:
        return [(BENCHMARKS[name], {})]
    raise UnknownBenchmark(
        f"no benchmark or suite {name!r}; allowed: benchmarks {', '.join(BENCHMARKS)}; "
        f"suites {', '.join(known)}",
        path=at,
        allowed=[*BENCHMARKS, *known],
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
                payload_arrays=row.payload_arrays if isinstance(row, StreamBenchmark) else None,
                bus_arrays=row.bus_arrays if isinstance(row, StreamBenchmark) else None,
                parameters=msgspec.json.schema(row.parameters),
            )
            for row in BENCHMARKS.values()
        ],
        suites=[
            SuiteInfo(suite.name, suite.summary, [member.name for member in suite.members])
            for suite in suites().values()
        ],
    )
