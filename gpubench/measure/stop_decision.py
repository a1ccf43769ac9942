"""Why a series of samples ends: a code and its numbers for programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpubench.units import fill

Numbers = Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class StopReason:
    """``reached``: the series ended because it has what was asked for, not because of a limit."""

    sentence: str
    reached: bool


STOP_REASONS: dict[str, StopReason] = {
    "precision_reached": StopReason(
        "the 95 % interval of the median, ±{interval_ratio}, is within the target of ±{target_ratio} "
        "after {samples} samples",
        reached=True,
    ),
    "deviation_reached": StopReason(
        "the standard deviation, {deviation_ratio} of the mean, is below the target of {target_ratio} "
        "after {samples} samples",
        reached=True,
    ),
    "deviation_settled": StopReason(
        "the standard deviation settled at {deviation_ratio} of the mean, above the target of "
        "{target_ratio}, after {samples} samples",
        reached=False,
    ),
    "count_reached": StopReason("the requested number of samples was taken: {samples}", reached=True),
    "duration_reached": StopReason(
        "the requested sampling time of {duration_seconds} is over, after {samples} samples", reached=True
    ),
    "window_ended": StopReason("the window of {window_seconds} is over", reached=True),
    "passes_done": StopReason(
        "the requested number of passes over the memory was made: {passes}", reached=True
    ),
    "time_limit": StopReason("time limit of {time_limit_seconds} reached", reached=False),
    "sample_limit": StopReason("limit of {max_samples} samples reached", reached=False),
}
"""The values of a measurement's ``stop_code``; a name in braces is one of its ``stop_values``."""

UNMET_CONDITIONS: dict[str, str] = {
    "no_samples": "no sample was taken",
    "few_samples": "{samples} samples were taken, at least {min_samples} are needed",
    "few_independent_samples": "{samples} correlated samples count as {effective_samples} independent ones, "
    "at least {min_effective_samples} are needed",
    "wide_interval": "the 95 % interval of the median, ±{interval_ratio}, is wider than the target of "
    "±{target_ratio}",
    "large_deviation": "the standard deviation, {deviation_ratio} of the mean, is not below the target of "
    "{target_ratio}",
}
"""The values of ``stop_unmet_code``: what a series that ended at a limit still lacked."""


def stop_sentence(code: str, unmet: str | None, values: Numbers) -> str:
    """The sentence of these codes; raises KeyError for an unknown code or a missing number."""
    ended = fill(STOP_REASONS[code].sentence, values)
    return f"{ended}: {fill(UNMET_CONDITIONS[unmet], values)}" if unmet else ended


@dataclass(frozen=True, slots=True)
class StopDecision:
    """A decision to end a series: keys of the two tables above, and the numbers of both sentences."""

    code: str
    values: Numbers
    unmet: str | None = None

    @property
    def reached(self) -> bool:
        """Whether the series has what was asked for."""
        return STOP_REASONS[self.code].reached

    @property
    def reason(self) -> str:
        return stop_sentence(self.code, self.unmet, self.values)

    def lacking(self, unmet: str, numbers: Numbers) -> StopDecision:
        """The same decision, with the condition that was not met and its numbers."""
        return replace(self, unmet=unmet, values={**self.values, **numbers})
