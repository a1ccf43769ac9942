"""When to stop taking samples.

A rule is a small object that is asked after every sample and keeps nothing: neither a clock nor
what it has seen. One object serves any number of series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from gpubench.measure.statistics import MIN_EFFECTIVE_SAMPLES, MIN_RANGE_SAMPLES, SampleSummary, summarize
from gpubench.measure.stop_decision import Numbers, StopDecision

DEFAULT_SAMPLES = 100
"""As many as BabelStream takes."""

MIN_SAMPLES, MAX_SERIES_SAMPLES = 20, 10_000
"""Of the usual rule, for one series."""

MAX_SAMPLES = 20_000
"""Of a benchmark, all its figures together, so that a document with 64 of them stays one that is taken."""

LEAST_TIME_PARTS = 5
"""A series lasts a fifth of the time limit, however narrow its interval. What changes more slowly than that
cannot be seen in it, and narrow intervals come first where all samples are of one level of many."""

# nvbench's: the last 512 values of the noise, from the 65th sample on, looked at every 16 samples.
_NOISES, _NOISES_FROM, _NOISES_EVERY = 512, 64, 16
_NOISE_SPREAD_RATIO = 0.05


class StoppingRule(Protocol):
    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        """Whether to stop here, asked after every sample; None: take another one.

        ``elapsed_seconds`` is what the whole series has taken so far, pauses included.
        """
        ...


def stopping_rule(
    parameters: Mapping[str, Any], time_limit_seconds: float, max_samples: int = MAX_SERIES_SAMPLES
) -> StoppingRule:
    """The rule that a benchmark's parameters ask for, for one series of so many samples at most.

    A count of samples takes the time that it takes, unless a limit was asked for; and the usual rule
    takes as many as a range needs.
    """
    target_ratio = float(parameters["target_ratio"])
    match parameters["stop"]:
        case "count":
            return FixedCount(parameters["samples"] or DEFAULT_SAMPLES, parameters["time_limit_seconds"])
        case "time":
            return FixedTime(time_limit_seconds)
        case "stdev":
            return RelativeDeviation(target_ratio, time_limit_seconds)
        case _:
            least = 0 if parameters["time_limit_seconds"] else MIN_RANGE_SAMPLES
            return MedianPrecision(
                target_ratio,
                time_limit_seconds,
                samples_in_any_case=least,
                max_samples=min(max(max_samples, MIN_SAMPLES), MAX_SERIES_SAMPLES),
                min_seconds=time_limit_seconds / LEAST_TIME_PARTS,
            )


@dataclass(frozen=True)
class MedianPrecision:
    """Stop when the median is known to within ``target_ratio`` of itself, or at a limit.

    The interval is looked at only when the series has grown by half since the last look (20, 30,
    45, 68 ... samples). A rule that looks after each sample stops at the first one where the
    interval is narrow by chance, and such intervals miss the true median more often than they
    say. At a limit it is looked at once more, since chance has no part in when that is. Nor is it
    looked at before ``min_seconds``. The time limit waits for ``samples_in_any_case``.
    """

    target_ratio: float = 0.005
    time_limit_seconds: float = 2.5
    min_samples: int = MIN_SAMPLES
    max_samples: int = MAX_SERIES_SAMPLES
    samples_in_any_case: int = 0
    min_seconds: float = 0.0
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
        if limit is None and not self._looks_at(count, elapsed_seconds):
            return None
        if not samples_seconds:
            return limit and limit.lacking("no_samples", {})
        summary = summarize(samples_seconds)
        unmet = self._unmet(summary)
        if unmet:
            return limit and limit.lacking(*unmet)
        return StopDecision(
            "precision_reached",
            {"samples": count, "interval_ratio": summary.interval_ratio, "target_ratio": self.target_ratio},
        )

    def _looks_at(self, count: int, elapsed_seconds: float) -> bool:
        return count in self._looks and elapsed_seconds >= self.min_seconds

    def _limit(self, count: int, elapsed_seconds: float) -> StopDecision | None:
        if elapsed_seconds >= self.time_limit_seconds and count >= self.samples_in_any_case:
            return _time_limit(self.time_limit_seconds)
        if count >= self.max_samples:
            return StopDecision("sample_limit", {"max_samples": self.max_samples})
        return None

    def _unmet(self, summary: SampleSummary) -> tuple[str, Numbers] | None:
        """The first condition that is not met."""
        if summary.count < self.min_samples:
            return _few_samples(summary.count, self.min_samples)
        if not summary.interval_holds:
            return "few_independent_samples", {
                "samples": summary.count,
                "effective_samples": summary.effective_samples,
                "min_effective_samples": MIN_EFFECTIVE_SAMPLES,
            }
        if summary.interval_ratio > self.target_ratio:
            return "wide_interval", {
                "samples": summary.count,
                "interval_ratio": summary.interval_ratio,
                "target_ratio": self.target_ratio,
            }
        return None


@dataclass(frozen=True)
class FixedCount:
    """Stop after ``samples`` samples, or at a limit; how precise the figure is then does not matter."""

    samples: int
    time_limit_seconds: float | None = None

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        count = len(samples_seconds)
        if count >= self.samples:
            return StopDecision("count_reached", {"samples": count})
        if self.time_limit_seconds is not None and elapsed_seconds >= self.time_limit_seconds:
            return _time_limit(self.time_limit_seconds).lacking(*_few_samples(count, self.samples))
        return None


@dataclass(frozen=True)
class FixedTime:
    """Sample until ``seconds`` are over, however precise the figure is before."""

    seconds: float

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        if elapsed_seconds < self.seconds or not samples_seconds:
            return None
        return StopDecision(
            "duration_reached", {"duration_seconds": self.seconds, "samples": len(samples_seconds)}
        )


@dataclass(frozen=True)
class RelativeDeviation:
    """Stop when the samples' standard deviation is below ``target_ratio`` of their mean, as nvbench does.

    Or when that ratio has settled above it: over the last 512 samples it stayed within 5 % of its
    last value. It takes at least 10 samples and 0.5 s of them, and from the 65th on looks every 16
    samples. This is nvbench's ``stdrel`` criterion (nvbench/stdrel_criterion.cxx), for figures that
    are set beside nvbench's; the spread of samples says little of how well their median is known.
    """

    target_ratio: float = 0.005
    time_limit_seconds: float = 15.0
    min_samples: int = 10
    min_seconds: float = 0.5

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        """As ``StoppingRule.decide``."""
        count = len(samples_seconds)
        limit = _time_limit(self.time_limit_seconds) if self._is_over(elapsed_seconds) else None
        if count < self.min_samples:
            return limit and limit.lacking(*_few_samples(count, self.min_samples))
        if limit is None and not self._looks(samples_seconds):
            return None
        deviation = relative_deviations(samples_seconds, 1)[-1]
        numbers = {"samples": count, "deviation_ratio": deviation, "target_ratio": self.target_ratio}
        if deviation < self.target_ratio:
            return StopDecision("deviation_reached", numbers)
        if limit:
            return limit.lacking("large_deviation", numbers)
        if count > _NOISES_FROM and _settled(samples_seconds):
            return StopDecision("deviation_settled", numbers)
        return None

    def _is_over(self, elapsed_seconds: float) -> bool:
        return elapsed_seconds >= self.time_limit_seconds

    def _looks(self, samples_seconds: Sequence[float]) -> bool:
        count = len(samples_seconds)
        due = count <= _NOISES_FROM or count % _NOISES_EVERY == 0
        return due and math.fsum(samples_seconds) >= self.min_seconds


def _settled(samples_seconds: Sequence[float]) -> bool:
    noises = relative_deviations(samples_seconds, _NOISES)
    spread = math.sqrt(math.fsum((noise - noises[-1]) ** 2 for noise in noises) / (len(noises) - 1))
    return spread < _NOISE_SPREAD_RATIO * noises[-1]


def relative_deviations(samples: Sequence[float], last: int) -> list[float]:
    """The standard deviation over the mean of the series as it was after each of its ``last`` samples.

    From the fifth sample on; fewer say nothing. Infinite where the mean is 0.
    """
    origin = samples[0]  # sums of squares of large numbers lose the small differences
    total = squares = 0.0
    found: list[float] = []
    for count, sample in enumerate(samples, start=1):
        total += sample - origin
        squares += (sample - origin) ** 2
        if count >= 5 and count > len(samples) - last:
            variance = max(squares - total * total / count, 0.0) / (count - 1)
            mean = origin + total / count
            found.append(math.sqrt(variance) / mean if mean > 0 else math.inf)
    return found


def growing(first: int) -> Iterator[int]:
    """``first`` and on without end, each half as much again, rounded up: 20, 30, 45, 68, 102 ..."""
    while True:
        yield first
        first = (3 * first + 1) // 2


def _time_limit(seconds: float) -> StopDecision:
    return StopDecision("time_limit", {"time_limit_seconds": seconds})


def _few_samples(count: int, wanted: int) -> tuple[str, Numbers]:
    return "few_samples", {"samples": count, "min_samples": wanted}
