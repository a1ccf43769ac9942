"""What limits each benchmark, as Markdown, from recordings of bench/limits.py and bench/revisions.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from recordings import Kept, sections

from gpubench.measure.statistics import median
from gpubench.report.benchmarks import markdown_rows
from gpubench.units import format_bandwidth

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))

from record import ratio_of

OWN_LIMIT_RATIO = 1.2
"""Points that are no faster in a cache than this are listed by name."""


def limit_tables(folder: Path) -> str:
    """A section for each kind of recording, from the newest one in ``folder``."""
    tables = {
        "limits": ("In a cache and in memory", _limits),
        "random-access": ("Random access before and after", _revisions),
    }
    return sections(folder, tables, _about)


def _about(kept: Kept) -> str:
    return f"{kept['host']['processor']}, {kept['host']['cores']} cores, {kept['at'][:10]}"


def _limits(kept: Kept) -> str:
    rounds: Mapping[str, Sequence[float]] = kept["rounds"]
    families: dict[str, dict[str, float]] = {}
    for label, ratios in rounds.items():
        name, _, axes = label.partition(" ")
        families.setdefault(name, {})[axes] = median(ratios)
    rows = [
        (f"`{name}`", _reach(list(found.values())), ", ".join(_slow(found)) or "none")
        for name, found in sorted(families.items())
    ]
    return markdown_rows(
        ("benchmark", "in a cache / in memory", f"points at {OWN_LIMIT_RATIO} or less"), rows
    )


def _slow(found: Mapping[str, float]) -> list[str]:
    return [f"{axes or 'all'} ({ratio:.2f})" for axes, ratio in found.items() if ratio <= OWN_LIMIT_RATIO]


def _reach(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _revisions(kept: Kept) -> str:
    rounds: Mapping[str, Mapping[str, Sequence[float]]] = kept["rounds"]
    rows = []
    for label, found in rounds.items():
        was, now = found.values()
        rows.append((label, *(format_bandwidth(median(each)) for each in (was, now)), ratio_of(now, was)))
    return markdown_rows(("benchmark", "before", "after", "ratio"), rows)
