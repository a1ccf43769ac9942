"""Whether the bandwidth holds while the memory works without a pause: the end of ``sustained`` against its
beginning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from gpubench.comparison.acceptance.attempts import AttemptRule, decide, figure_of, worst_reason
from gpubench.comparison.acceptance.limits import limits
from gpubench.comparison.acceptance.run_figures import USABLE, Setting, Usable, by_setting, thirds, usable
from gpubench.comparison.acceptance.spread import MAX_MARGIN_RATIO, t_one_in_1000
from gpubench.comparison.acceptance.verdict import Attempt, Claim, Expected, fault
from gpubench.comparison.verdicts import SAME_WITHIN
from gpubench.flags import Flag, ordered
from gpubench.results.document import Measurement, RunDocument
from gpubench.units import format_percent

MINIMUM_WINDOWS = 4
"""Fewer have no beginning and end with something in between that shows the noise."""

MEDIAN_VARIANCE = math.pi / 2
"""Of the median of normal values over that of their mean: this is the limit for many, and few have less."""


@dataclass(frozen=True)
class _Ends:
    """One run's windows. ``ratio`` is the last third's median over the first third's.

    ``squares`` is the sum of the squared steps from window to window, as shares and without the largest, and
    ``steps`` their number; ``each_end`` is how many windows of either third count. ``flags`` are those of the
    windows that count.
    """

    run: RunDocument
    flags: tuple[Flag, ...] = ()
    ratio: float | None = None
    squares: float = 0.0
    steps: int = 0
    each_end: int = 1
    unusable: Usable = USABLE


def steadiness(setting: Setting, runs: Sequence[RunDocument], label: str, rule: AttemptRule | None) -> Claim:
    """The claim on the runs at a setting of ``sustained``."""
    name = f"end of {label} against its beginning"
    found = [_ends(run, windows) for run in runs if (windows := by_setting(run).get(setting))]
    expected = _expected(found)
    if isinstance(expected, str):
        return fault(name, "GB-NO-EXPECTATION", f"{label}: {expected}")
    attempts = [_attempt(each, expected) for each in found]
    figure, decision = figure_of(attempts), decide(attempts, rule)
    common: dict[str, Any] = {"figure": figure, "unit": "ratio", "expected": expected, "attempts": attempts}
    if figure is None:
        code = decision.code or "GB-UNDECIDED"
        why = worst_reason(attempts, code) or "no figure so far"
        return fault(name, code, f"{label}: {why}", unit="ratio", attempts=attempts)
    floor = f"{'floor' if expected.allows(figure) else 'below its floor of'} {format_percent(expected.limit)}"
    text = f"{label}: at the end {format_percent(figure)} of its bandwidth at the beginning, {floor}"
    if decision.word == "pass":
        return Claim(name=name, status="OK", text=text, **common)
    if decision.word == "unknown":
        return fault(name, decision.code or "GB-UNDECIDED", text, **common)
    return fault(name, "GB-SUSTAINED-LOW", f"{text}{limits(setting, runs, attempts)}", **common)


def _ends(run: RunDocument, windows: Sequence[Measurement]) -> _Ends:
    why = [usable(each) for each in windows]
    if len(windows) < MINIMUM_WINDOWS:
        few = f"{len(windows)} windows are too few to compare; at least {MINIMUM_WINDOWS} are needed"
        wrong = next((each for each in why if each.code), Usable("GB-NOT-MEASURED", few))
        return _Ends(run, unusable=wrong)
    rates = [
        None if wrong.code else _bytes_per_second(each) for each, wrong in zip(windows, why, strict=True)
    ]
    first, last = ([rate for rate in third if rate is not None] for third in thirds(rates))
    if not first or not last:
        return _Ends(run, unusable=thirds(why)[1 if first else 0][-1])
    steps = [
        after / before - 1 for before, after in pairwise(rates) if before is not None and after is not None
    ]
    if len(steps) < MINIMUM_WINDOWS - 1:
        return _Ends(run, unusable=next(each for each in why if each.code))
    squares = sorted(step * step for step in steps)
    return _Ends(
        run,
        ordered(
            flag for each, wrong in zip(windows, why, strict=True) for flag in each.flags if not wrong.code
        ),
        ratio=median(last) / median(first),
        squares=math.fsum(squares[:-1]),
        steps=len(steps),
        each_end=min(len(first), len(last)),
    )


def _bytes_per_second(window: Measurement) -> float:
    """The mean, which shows short losses; the median of the samples hides them."""
    seconds = math.fsum(window.samples_seconds)
    moved = (window.bus_bytes or 0) * len(window.samples_seconds)
    if moved > 0 and math.isfinite(seconds) and seconds > 0:
        return moved / seconds
    summary = window.bandwidth_bytes_per_second
    assert summary is not None  # noqa: S101  (usable checked it)
    return summary.median


def _expected(found: Sequence[_Ends]) -> Expected | str:
    """All of the bandwidth at the beginning, less what the noise of the windows may hide.

    Steps between neighbours show the noise alone: a slow fall is hardly in them, and a sudden one is the
    largest, which is left out. In a simulation fewer than 1 of 1,000 steady runs fall below the margin.
    """
    counted = [each for each in found if each.ratio is not None]
    steps = sum(each.steps for each in counted)
    # Half the mean square of n steps is the variance. Without the largest, a sum is about half as large.
    noise = math.sqrt(math.fsum(each.squares for each in counted) / steps) if steps else 0.0
    fewest = min((each.each_end for each in counted), default=1)
    # Steps that share a window are correlated: n of them are worth two thirds of n (von Neumann, 1941).
    deviations = t_one_in_1000(max(1, 2 * (steps - len(counted)) // 3))
    # Of two medians, each of so many windows.
    margin = max(SAME_WITHIN, deviations * noise * math.sqrt(2 * MEDIAN_VARIANCE / fewest))
    if margin > MAX_MARGIN_RATIO:
        between = f"{format_percent(noise)} between neighbours"
        return f"its windows differ too much to judge by ({between}, a margin of {format_percent(margin)})"
    return Expected(
        link="beginning",
        value=1.0,
        floor=1 - margin,
        margin_ratio=margin,
        why="its own beginning",
        margin_why=f"from {format_percent(noise)} between neighbouring windows, 2 % at least",
    )


def _attempt(ends: _Ends, expected: Expected) -> Attempt:
    passes = ends.ratio is not None and expected.allows(ends.ratio)
    return Attempt(
        run_id=ends.run.run_id,
        result="unknown" if ends.ratio is None else "pass" if passes else "fail",
        figure=ends.ratio,
        flags=list(ends.flags),
        code=ends.unusable.code,
        reason=ends.unusable.reason,
    )
