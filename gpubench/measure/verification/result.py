"""What checking a benchmark's output found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpubench.results.document import Mismatch


@dataclass(frozen=True)
class VerificationResult:
    """``mismatches`` over all that was checked; 0 is right. ``what`` was counted: elements, sums."""

    mismatches: int
    first: list[Mismatch]
    what: str = "elements"


def combined(results: Sequence[VerificationResult]) -> VerificationResult:
    """One result of several checks; ``what`` is that of the first that found anything."""
    wrong = [each for each in results if each.mismatches]
    return VerificationResult(
        sum(each.mismatches for each in wrong),
        [mismatch for each in wrong for mismatch in each.first],
        wrong[0].what if wrong else results[0].what,
    )
