"""Several attempts at one claim, and what they decide together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from gpubench.comparison.acceptance.verdict import Attempt
from gpubench.errors import InvalidParameters


@dataclass(frozen=True)
class AttemptRule:
    """``needed`` of ``total`` attempts must reach the floor: more than half, so that no single one decides
    against the others, and the median of all reaches it too."""

    needed: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.total <= 99 or 2 * self.needed <= self.total:
            raise InvalidParameters(
                f"--attempts: {self.needed}-of-{self.total} is not allowed; at most 99, and more than half "
                "of them must pass: write 1-of-1, 2-of-2 or 2-of-3"
            )


@dataclass(frozen=True)
class Decision:
    """``code`` is why an attempt did not count; only with ``unknown``."""

    word: Literal["pass", "fail", "unknown"]
    code: str | None = None


def decide(attempts: Sequence[Attempt], rule: AttemptRule | None) -> Decision:
    """By the rule; without one by most of those that count, and a draw is undecided.

    With fewer attempts than the rule's total, what the missing ones cannot change is decided already.
    """
    passes, fails = (sum(each.result == word for each in attempts) for word in ("pass", "fail"))
    if rule is None:
        needed = fails_needed = (passes + fails) // 2 + 1
    else:
        needed, fails_needed = rule.needed, rule.total - rule.needed + 1
    if passes >= needed:
        return Decision("pass")
    if fails >= fails_needed:
        return Decision("fail")
    unknown = Counter(each.code for each in attempts if each.result == "unknown" and each.code)
    waiting = rule is not None and len(attempts) < rule.total
    draw = rule is None and passes + fails > 0
    if not unknown or waiting or draw:
        return Decision("unknown", "GB-UNDECIDED")
    return Decision("unknown", unknown.most_common(1)[0][0])


def figure_of(attempts: Sequence[Attempt]) -> float | None:
    """The median of those that count."""
    counted = [each.figure for each in attempts if each.result != "unknown" and each.figure is not None]
    return median(counted) if counted else None


def worst_reason(attempts: Sequence[Attempt], code: str | None) -> str:
    """Why an attempt with this code did not count."""
    return next((each.reason for each in reversed(attempts) if each.code == code and each.reason), "")
