"""When to stop taking samples.

A rule is a small object that is asked after every sample and keeps nothing: neither a clock nor
what it has seen. One object serves any number of series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from gpubench.measure.statistics import MIN_EFFECTIVE_SAMPLES, SampleSummary, summarize


@dataclass(frozen=True, slots=True)
class StopDecision:
    """``reached``: the series is as precise as was asked. ``reason``: why it ends, in words."""

    reached: bool
    reason: str


class StoppingRule(Protocol):
    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        """Whether to stop here, asked after every sample; None: take another one.

        ``elapsed_seconds`` is what the whole series has taken so far, pauses included.
        """
        ...


def stopping_rule(parameters: Mapping[str, Any], time_limit_seconds: float) -> StoppingRule:
    """The rule that a benchmark's parameters ask for, for one series."""
    return MedianPrecision(float(parameters["target_ratio"]), time_limit_seconds)


@dataclass(frozen=True)
class MedianPrecision:
    """Stop when the median is known to within ``target_ratio`` of itself, or at a limit.

    The interval is looked at only when the series has grown by half since the last look (20, 30,
    45, 68 ... samples). A rule that looks after each sample stops at the first one where the
    interval is narrow by chance, and such intervals miss the true median more often than they
    say. At a limit it is looked at once more, since chance has no part in when that is.
    """

    target_ratio: float = 0.005
    time_limit_seconds: float = 2.5
    min_samples: int = 20
    max_samples: int = 10_000
    _looks: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError for limits that no series can meet."""
        if not self.target_ratio > 0:
            raise ValueError(f"target_ratio must be above 0, not {self.target_ratio}")
        if not self.time_limit_seconds > 0:
            raise ValueError(f"time_limit_seconds must be above 0, not {self.time_limit_seconds}")
        if not 2 <= self.min_samples <= self.max_samples:
            raise ValueError(f"min_samples must be 2 to {self.max_samples}, not {self.min_samples}")
        looks = takewhile(lambda count: count < self.max_samples, growing(self.min_samples))
        object.__setattr__(self, "_looks", frozenset(looks))

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        """As ``StoppingRule.decide``; raises ValueError where a sample is no duration."""
        count = len(samples_seconds)
        limit = self._limit(count, elapsed_seconds)
        if limit is None and count not in self._looks:
            return None
        if not samples_seconds:
            return StopDecision(False, f"{limit}: no samples")
        summary = summarize(samples_seconds)
        unmet = self._unmet(summary)
        if unmet is None:
            width = f"interval {_percent(summary.interval_ratio)} is within {_percent(self.target_ratio)}"
            return StopDecision(True, f"{width} after {count} samples")
        return StopDecision(False, f"{limit}: {unmet}") if limit else None

    def _limit(self, count: int, elapsed_seconds: float) -> str | None:
        if elapsed_seconds >= self.time_limit_seconds:
            return f"time limit of {self.time_limit_seconds:g} s"
        if count >= self.max_samples:
            return f"limit of {self.max_samples} samples"
        return None

    def _unmet(self, summary: SampleSummary) -> str | None:
        """The first condition that is not met, in words."""
        if summary.count < self.min_samples:
            return f"{summary.count} samples are fewer than {self.min_samples}"
        if not summary.interval_holds:
            return (
                f"{summary.count} samples are worth {summary.effective_samples:.1f} independent ones, "
                f"fewer than {MIN_EFFECTIVE_SAMPLES:.1f}"
            )
        if summary.interval_ratio > self.target_ratio:
            return f"interval {_percent(summary.interval_ratio)} is wider than {_percent(self.target_ratio)}"
        return None


def growing(first: int) -> Iterator[int]:
    """``first`` and on without end, each half as much again, rounded up: 20, 30, 45, 68, 102 ..."""
    while True:
        yield first
        first = (3 * first + 1) // 2


def _percent(ratio: float) -> str:
    return f"±{100 * ratio:.2g} %"
