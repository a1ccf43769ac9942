"""What a word in an answer means: flags, benchmarks, suites, verdicts, fault codes, and other codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.benchmarks.suites import suites
from gpubench.comparison.acceptance.faults import FAULTS, STATUS_MEANING
from gpubench.comparison.reasons import REASON_CODES
from gpubench.comparison.verdicts import MINIMUM_EFFECT, MINIMUM_RUNS, SAME_WITHIN
from gpubench.errors import InvalidParameters
from gpubench.flags import EFFECTS, FLAGS
from gpubench.measure.stop_decision import STOP_REASONS, UNMET_CONDITIONS
from gpubench.suggestions import did_you_mean
from gpubench.units import format_percent

VERDICTS = {
    "FASTER": "The intervals of the two sides do not overlap, and the second side is faster by at least "
    f"{format_percent(MINIMUM_EFFECT)}.",
    "SLOWER": "The intervals of the two sides do not overlap, and the second side is slower by at least "
    f"{format_percent(MINIMUM_EFFECT)}.",
    "SAME": f"The medians differ by less than {format_percent(MINIMUM_EFFECT)}, and the intervals exclude a "
    f"difference above {format_percent(SAME_WITHIN)}.",
    "AMBIGUOUS": "The figures do not decide: the intervals are wide or overlap, a side has fewer than "
    f"{MINIMUM_RUNS} runs, or other programs used the device. Measure again, more often.",
    "NOT COMPARABLE": "The two sides did not measure the same thing, or a figure is not the memory's own; "
    "the reason says what differs.",
}


@dataclass(frozen=True)
class Entry:
    """``kind`` is what the word is, such as ``flag``; ``lines`` are sentences."""

    name: str
    kind: str
    lines: tuple[str, ...]


def entries() -> Iterator[Entry]:
    """All words; one that means several things has several entries."""
    for flag, info in FLAGS.items():
        effects = (text for effect, text in EFFECTS.items() if effect in info.effects)
        yield Entry(flag, "flag", (info.meaning, info.remedy, *effects))
    for benchmark in BENCHMARKS.values():
        yield Entry(benchmark.name, "benchmark", (f"{benchmark.summary}.", benchmark.explanation))
    for suite in suites().values():
        members = ", ".join(member.name for member in suite.members)
        yield Entry(suite.name, "suite", (f"{suite.summary}.", f"Benchmarks: {members}."))
    for word, text in VERDICTS.items():
        yield Entry(word, "verdict", (text,))
    for fault, row in FAULTS.items():
        yield Entry(fault, f"fault code of a check, {row.status}", (row.meaning, row.action))
    for status, text in STATUS_MEANING.items():
        yield Entry(status, "status of a check", (text,))
    for code, reason in STOP_REASONS.items():
        yield Entry(code, "stop_code", (f"{reason.sentence}.",))
    for table, kind in ((UNMET_CONDITIONS, "stop_unmet_code"), (REASON_CODES, "reason_code of a verdict")):
        for code, sentence in table.items():
            yield Entry(code, kind, (f"{sentence}.",))


def look_up(word: str) -> list[Entry]:
    """The entries of a word, in upper or lower case, with spaces, hyphens or underscores.

    Raises ``InvalidParameters`` for an unknown word; the message suggests a similar one.
    """
    found = list(entries())
    matches = [entry for entry in found if _folded(entry.name) == _folded(word)]
    if not matches:
        hint = (
            did_you_mean(word, (entry.name for entry in found)) or " see docs/flags.md and docs/benchmarks.md"
        )
        raise InvalidParameters(f"no flag, benchmark, suite, verdict or code {word[:60]!r};{hint}")
    return matches


def _folded(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
