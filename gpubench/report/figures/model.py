"""A chart and everything that says the same without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gpubench.comparison.compare import Result
from gpubench.report.subject import Entry
from gpubench.report.text_table import Table
from gpubench.units import GB

Row: TypeAlias = dict[str, Any]
"""A mark of a chart; the keys are its columns in CSV, and the units are in them."""

Spec: TypeAlias = dict[str, Any]
"""A chart in Vega-Lite."""

MAX_ROWS = 4000
"""The most marks of a chart: a document may hold any number of points."""


@dataclass(frozen=True)
class Figure:
    """``name`` is what ``gpubench plot`` calls it; ``draw`` makes its chart at a width in pixels.

    ``words`` say what is seen in it, for readers who do not see it; ``findings`` are what the run found.
    """

    name: str
    title: str
    caption: str
    words: str
    rows: Sequence[Row]
    tables: Sequence[Table]
    draw: Callable[[int], Spec]
    findings: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.rows for key in row))


MAX_GROUPS = 60
"""The most bars, or benchmarks, of a chart."""

_SMALLEST, _LARGEST = 1e-18, 1e18


def drawable(*values: float) -> bool:
    """Whether numbers fit on an axis: a damaged document may hold any, and Vega then draws nothing at all."""
    return all(value == 0 or _SMALLEST <= abs(value) <= _LARGEST for value in values)


def first_groups(rows: Sequence[Row], column: str) -> list[Row]:
    """The rows of the first ``MAX_GROUPS`` values of a column."""
    kept = set(list(dict.fromkeys(row[column] for row in rows))[:MAX_GROUPS])
    return [row for row in rows if row[column] in kept]


def thinned(rows: Sequence[Row], most: int = MAX_ROWS) -> list[Row]:
    """At most so many of them, evenly."""
    step = -(-len(rows) // most)
    return list(rows[::step]) if step > 1 else list(rows)


def sentence(parts: Sequence[str]) -> str:
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def result_row(entry: Entry, result: Result, benchmark: str | None, **more: Any) -> Row:
    """One figure of a run against its theory; ``more`` are columns behind the benchmark."""
    return present(
        {
            "device": entry.label,
            "benchmark": benchmark,
            **more,
            "bandwidth_gb_per_second": result.bandwidth.median / GB,
            "low_gb_per_second": result.bandwidth.low / GB,
            "high_gb_per_second": result.bandwidth.high / GB,
            "theory_gb_per_second": entry.theory.peak_bytes_per_second / GB if entry.theory else None,
            "of_theory_ratio": result.nominal_ratio,
            "flags": ", ".join(result.flags),
        }
    )


def present(values: Mapping[str, Any]) -> Row:
    return {name: value for name, value in values.items() if value is not None}
