"""The description of all benchmarks and suites, as the wire has it."""

from __future__ import annotations

from typing import Any

from gpubench.benchmarks.registry import BENCHMARKS, StreamBenchmark
from gpubench.benchmarks.suites import suites
from gpubench.results.machine import Record
from gpubench.results.schema import json_schema


class BenchmarkInfo(Record, frozen=True):
    """A benchmark and its parameters, which are a JSON Schema.

    The arrays are what one pass over whole arrays moves; null for benchmarks of other families.
    """

    name: str
    family: str
    summary: str
    explanation: str
    parameters: dict[str, Any]
    payload_arrays: int | None = None
    bus_arrays: int | None = None


class SuiteInfo(Record, frozen=True):
    name: str
    summary: str
    benchmarks: list[str]


class Benchmarks(Record, frozen=True):
    benchmarks: list[BenchmarkInfo]
    suites: list[SuiteInfo]


def describe() -> Benchmarks:
    """All benchmarks and suites."""
    return Benchmarks(
        benchmarks=[
            BenchmarkInfo(
                name=row.name,
                family=row.family,
                summary=row.summary,
                explanation=row.explanation,
                payload_arrays=row.payload_arrays if isinstance(row, StreamBenchmark) else None,
                bus_arrays=row.bus_arrays if isinstance(row, StreamBenchmark) else None,
                parameters=json_schema(row.parameters),
            )
            for row in BENCHMARKS.values()
        ],
        suites=[
            SuiteInfo(suite.name, suite.summary, [member.name for member in suite.members])
            for suite in suites().values()
        ],
    )
