"""What a request becomes: suites expanded, parameters checked and complete."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gpubench.benchmarks.parameters import is_default
from gpubench.benchmarks.suites import SUITES
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
                payload_arrays=row.payload_arrays if isinstance(row, StreamBenchmark) else None,
                bus_arrays=row.bus_arrays if isinstance(row, StreamBenchmark) else None,
                parameters=msgspec.json.schema(row.parameters),
            )
            for row in BENCHMARKS.values()
        ],
        suites=[SuiteInfo(suite.name, suite.summary, list(suite.benchmarks)) for suite in SUITES.values()],
    )
