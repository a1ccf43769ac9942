"""Suites: benchmarks that are asked for together, by one name."""

from __future__ import annotations

from dataclasses import dataclass

from gpubench.benchmarks.table import STREAM


@dataclass(frozen=True)
class Suite:
    name: str
    summary: str
    benchmarks: tuple[str, ...]


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (Suite("stream", "the sustained bandwidth of the memory, seven ways", tuple(STREAM)),)
}
