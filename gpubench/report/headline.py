"""The verdict on runs, in words, for readers who read nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from gpubench.comparison.compare import Comparison, Result
from gpubench.comparison.curves import Curve
from gpubench.comparison.references import HEADLINES
from gpubench.report import tables, text_table
from gpubench.report.curves import title
from gpubench.report.subject import Subject
from gpubench.units import format_bandwidth, format_percent


def headline(comparison: Comparison) -> tuple[str, str]:
    """The one figure of a run, and the rest of its sentence; plain text."""
    shown = tables.headline(comparison.results)
    if shown is None and comparison.curves:
        return f"No figure of the memory as a whole; {_counted(comparison.curves)}.", ""
    if shown is None:
        return "This run gave no figure.", ""
    text = f", interval {text_table.interval_of(shown)}"
    if shown.nominal_ratio is not None:
        text += f", {format_percent(shown.nominal_ratio)} of the nominal peak"
    if shown.live_clock_ratio is not None:
        text += f", {format_percent(shown.live_clock_ratio)} of the peak at the live clock"
    flags = f" Flagged: {', '.join(shown.flags)}." if shown.flags else ""
    return f"{text_table.label(shown)}: {format_bandwidth(shown.bandwidth.median)}", f"{text}.{flags}"


def verdict_lines(subject: Subject) -> list[str]:
    """A sentence for each run, or for a fleet a few about all of them."""
    if not subject.entries:
        return ["There are no runs to report."]
    if subject.is_fleet:
        return _of_fleet(subject)
    return [f"{each.label}: {line}" for each in subject.entries for line in run_lines(each.comparison)]


def run_lines(comparison: Comparison) -> list[str]:
    """Sentences about one run, the figure first."""
    document = comparison.document
    lines = ["".join(headline(comparison))]
    if document.outcome != "ok":
        why = f": {text_table.clean(document.error.message)}" if document.error else ""
        lines.append(f"The run did not end well, but as {document.outcome}{why}.")
    failed = sum(not each.skipped for each in comparison.excluded)
    if failed:
        lines.append(f"{failed} measurement{'s' * (failed > 1)} gave no figure; the reasons are below.")
    wrong = [
        each
        for each in document.findings
        if each.benchmark == "integrity" and each.name == "errors" and each.value
    ]
    lines += [f"Memory errors: {text_table.clean(each.text)}." for each in wrong]
    return lines


def common_benchmark(subject: Subject) -> str | None:
    """The benchmark of the memory as a whole that most runs have; of several the first of ``HEADLINES``."""
    counts = Counter(
        name for each in subject.entries for name in {result.benchmark for result in each.comparison.results}
    )
    names = [*HEADLINES, *sorted(counts)]
    return max(counts, key=lambda name: (counts[name], -names.index(name)), default=None)


def figure_in(comparison: Comparison, benchmark: str | None) -> Result | None:
    """The run's figure in this benchmark; of several, at different settings, as ``tables.headline``."""
    return tables.headline([each for each in comparison.results if each.benchmark == benchmark])


def _of_fleet(subject: Subject) -> list[str]:
    benchmark = common_benchmark(subject)
    found = [
        (result.bandwidth.median, each.label, result)
        for each in subject.entries
        if (result := figure_in(each.comparison, benchmark))
    ]
    lines = [f"{len(subject.entries)} runs, of which {len(found)} have a figure in {benchmark or 'any'}."]
    if not found:
        return lines
    ordered = sorted(found, key=lambda each: each[:2])
    middle = median(rate for rate, _, _ in found)
    (low, slowest, _), (high, fastest, _) = ordered[0], ordered[-1]
    lines += [
        f"{benchmark}: the median run has {format_bandwidth(middle)}.",
        f"Lowest: {slowest} with {format_bandwidth(low)}, {format_percent(low / middle)} of the median run.",
        f"Highest: {fastest} with {format_bandwidth(high)}, {format_percent(high / middle)} of it.",
    ]
    flagged = sum(bool(result.flags) for _, _, result in found)
    lines.append(
        f"{flagged} of these figures are flagged: their reasons to be doubted are below."
        if flagged
        else "None of these figures is flagged."
    )
    return lines


def _counted(curves: Sequence[Curve]) -> str:
    return ", ".join(f"{title(curve)}: {len(curve.points)} points" for curve in curves)
