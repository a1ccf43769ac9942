"""Reasons of verdicts, and why a figure cannot be compared: codes with their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpubench.units import fill

Values = Mapping[str, int | float | str]

UNUSABLE = {
    "not_measured": "{detail}",
    "not_verified": "the data were not verified, so the figure does not count",
    "no_figure": "neither a bandwidth nor a latency was measured",
    "not_positive": "the {quantity} is not a positive number",
    "not_of_the_memory": "the figure does not describe the memory: it is flagged {flags}",
}
"""Why a figure cannot be compared."""

NOT_COMPARABLE = {
    "only_first_side": "only the first side has this measurement",
    "only_second_side": "only the second side has this measurement",
    "settings_differ": "the settings differ: {differences}",
    "devices_differ": "the runs of one side were made on different devices: {devices}",
    "machines_differ": "the runs of one side were made on unlike machines: {differences}",
    "not_a_measurement": "one side is the theory of a board, not a measurement of this program",
}

JUDGED = {
    "intervals_apart": "the intervals of the two sides do not overlap",
    "medians_close": "the medians differ by less than {minimum_effect_ratio}",
    "intervals_wide": "the medians differ by less than {minimum_effect_ratio}, but the intervals are too "
    "wide to exclude a difference above {same_within_ratio}",
    "intervals_overlap": "the intervals of the two sides overlap",
    "few_runs": "a verdict needs at least {minimum_runs} runs on each side",
    "contended": "other programs used a device during a run, which is flagged contended",
}
"""Results of comparing two sides; ``few_runs`` and ``contended`` weaken another of these."""

REASON_CODES: Mapping[str, str] = {**NOT_COMPARABLE, **UNUSABLE, **JUDGED}
"""Every code of a reason, with its sentence; a name in braces is one of its values."""


@dataclass(frozen=True)
class Reason:
    """A key of ``REASON_CODES``, its values, and the sentence, which may begin with another reason's."""

    code: str
    text: str
    values: Values = field(default_factory=dict)


def reason(code: str, *, before: str = "", **values: int | float | str) -> Reason:
    """The reason of this code; ``before`` is prepended to its sentence."""
    return Reason(code, before + fill(REASON_CODES[code], values), values)
