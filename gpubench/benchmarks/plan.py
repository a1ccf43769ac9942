"""From a request to planned benchmarks: suites expanded, parameters validated and complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gpubench.benchmarks.parameters import Parameters, is_default
from gpubench.benchmarks.registry import BENCHMARKS, STREAM, Benchmark
from gpubench.benchmarks.suites import suites
from gpubench.errors import InvalidParameters, UnknownBenchmark
from gpubench.requests import BenchmarkRequest, PlannedBenchmark
from gpubench.results.machine import DeviceInfo
from gpubench.text import clipped
from gpubench.validation import convert

MAX_BENCHMARKS = 64
"""Of a run, so that its document with all samples stays below a client's limit."""


def plan(requests: Sequence[BenchmarkRequest | str]) -> list[PlannedBenchmark]:
    """Expand suites and validate parameters, in the order of the requests.

    Raises ``UnknownBenchmark`` and ``InvalidParameters``; both name what is allowed.
    """
    planned: list[PlannedBenchmark] = []
    for index, request in enumerate(requests):
        asked = BenchmarkRequest(name=request) if isinstance(request, str) else request
        for benchmark, own in _named(asked.name, f"$.params.benchmarks[{index}].name"):
            at = f"$.params.benchmarks[{index}].parameters"
            stated = {**own, **asked.parameters}
            parameters = _validated(stated, benchmark, at)
            planned.append(
                PlannedBenchmark(
                    name=benchmark.name,
                    parameters=msgspec.structs.asdict(parameters),
                    default_parameters=is_default(parameters),
                    stated=sorted(stated),
                )
            )
    if len(planned) > MAX_BENCHMARKS:
        raise InvalidParameters(
            f"{len(planned)} benchmarks in one run; allowed: {MAX_BENCHMARKS}, suites expanded",
            path="$.params.benchmarks",
        )
    return planned


def for_device(planned: PlannedBenchmark, info: DeviceInfo) -> PlannedBenchmark:
    """Without 64-bit floating point, elements are float unless the request states what they are."""
    needs_none = planned.name in STREAM and STREAM[planned.name].integers
    if info.has_double or needs_none or "dtype" in planned.stated or "dtype" not in planned.parameters:
        return planned
    return msgspec.structs.replace(planned, parameters={**planned.parameters, "dtype": "float"})


def _validated(parameters: dict[str, Any], benchmark: Benchmark, at: str) -> Parameters:
    try:
        return convert(parameters, benchmark.parameters, at)
    except InvalidParameters as error:  # its path does not name the member of a suite
        raise InvalidParameters(f"{benchmark.name}: {error.message}", **error.details) from None


def _named(name: str, at: str) -> list[tuple[Benchmark, dict[str, Any]]]:
    """The benchmarks of a name, each with the parameters that its suite states."""
    known = suites()
    if name in known:
        return [(BENCHMARKS[member.name], member.parameters) for member in known[name].members]
    if name in BENCHMARKS:
        return [(BENCHMARKS[name], {})]
    raise UnknownBenchmark(
        f"no benchmark or suite {clipped(name)!r}; allowed: benchmarks {', '.join(BENCHMARKS)}; "
        f"suites {', '.join(known)}",
        path=at,
        allowed=[*BENCHMARKS, *known],
    )
