"""What a run saw that may be why its figure is bad, as words to stand behind that figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpubench.comparison.acceptance.run_figures import SUSTAINED, Setting, by_setting
from gpubench.comparison.acceptance.verdict import Attempt
from gpubench.flags import FLAGS, flags_with
from gpubench.results.document import RunDocument

FALLEN_CLOCK_RATIO = 0.99
"""The last window's clock over the first one's: a smaller change explains nothing."""


def limits(setting: Setting, runs: Sequence[RunDocument], attempts: Sequence[Attempt]) -> str:
    """Of the newest of the runs whose attempt failed; says so if it saw no limit."""
    failed = {each.run_id for each in attempts if each.result == "fail"}
    bad = [run for run in runs if run.run_id in failed]
    found = list(dict.fromkeys(_seen(setting, bad[-1]))) if bad else []
    return f"; {'; '.join(found)}" if found else "; no limit was seen that explains it"


def _seen(setting: Setting, run: RunDocument) -> Iterator[str]:
    flags = [flag for each in by_setting(run).get(setting, []) for flag in each.flags]
    for flag in flags_with("slows", flags):
        meaning = FLAGS[flag].meaning.rstrip(".")
        yield f"{flag}: {meaning[0].lower()}{meaning[1:]}"
    for each in run.findings:
        if each.benchmark != SUSTAINED or setting.benchmark != SUSTAINED:
            continue
        fell = each.value is not None and each.value < FALLEN_CLOCK_RATIO
        if each.name in ("limited", "temperature_rise") or (each.name in _CLOCKS and fell):
            yield each.text


_CLOCKS = ("memory_clock_last_to_first", "compute_clock_last_to_first")
"""Findings of ``sustained``."""
