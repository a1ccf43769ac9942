"""The table that gpu_check.py writes, and what it counts as a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpubench.comparison.verdicts import MINIMUM_EFFECT
from gpubench.flags import flags_with
from gpubench.results.document import Measurement, RunDocument


class Table:
    """``table.md``, whole after each step, so that a run that is ended early leaves what it had found."""

    def __init__(self, path: Path, title: str) -> None:
        self._path = path
        self._title = title
        self._said: list[str] = []
        self.mistakes: list[str] = []
        self.tell([])

    @property
    def text(self) -> str:
        return "\n".join([self._title, *self._said, "", *(f"- WRONG: {each}" for each in self.mistakes), ""])

    def tell(self, lines: Sequence[str], mistakes: Sequence[str] = ()) -> None:
        if lines:
            self._said += ["", *lines]
        self.mistakes += mistakes
        part = self._path.with_suffix(".part")
        part.write_text(self.text)
        part.replace(self._path)


def mistakes(run: RunDocument, name: str) -> list[str]:
    """Each once, however many points of a curve have it."""
    found = [f"{name} ended as {run.outcome}: {run.error.message if run.error else None}"]
    found = [] if run.outcome == "ok" else found
    for each in run.measurements:
        if not each.verified and each.status != "skipped":
            found.append(f"{each.benchmark} is not verified: {each.reason}")
        if "over_theory" in each.flags:
            found.append(f"{each.benchmark} is above theory")
    return list(dict.fromkeys(found))


def differences(first: RunDocument, second: RunDocument) -> list[str]:
    """Of medians whose intervals do not meet, if neither figure is flagged as one that may well change."""
    again = {each.benchmark: each for each in second.measurements}
    return [
        text
        for each in first.measurements
        if each.benchmark in again and (text := _difference(each, again[each.benchmark]))
    ]


def _difference(first: Measurement, second: Measurement) -> str | None:
    a, b = first.bandwidth_bytes_per_second, second.bandwidth_bytes_per_second
    if a is None or b is None or flags_with("unsteady", (*first.flags, *second.flags)):
        return None
    if max(a.low, b.low) <= min(a.high, b.high) or abs(b.median / a.median - 1) <= MINIMUM_EFFECT:
        return None
    return f"{first.benchmark} differs by {b.median / a.median - 1:+.2%} between two processes"


def rows(run: RunDocument) -> list[str]:
    said = ["| benchmark | GB/s | of theory | interval | flags |", "|---|---|---|---|---|"]
    for each in run.measurements:
        summary, share = each.bandwidth_bytes_per_second, each.efficiency_ratio.nominal
        if summary is None:
            said.append(f"| {each.benchmark} | {each.status}: {each.reason} | | | |")
            continue
        half = (summary.high - summary.low) / 2 / summary.median
        said.append(
            f"| {each.benchmark} | {summary.median / 1e9:.1f} | {f'{share:.1%}' if share else 'unknown'} | "
            f"±{half:.2%} | {', '.join(each.flags)} |"
        )
    return said
