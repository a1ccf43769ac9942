"""The result of verifying a benchmark's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpubench.results.document import Mismatch


@dataclass(frozen=True)
class VerificationResult:
    """``mismatches`` in the whole output, ``first`` a few of them; ``what`` was counted: elements, sums."""

    mismatches: int
    first: list[Mismatch]
    what: str = "elements"


def combined(results: Sequence[VerificationResult]) -> VerificationResult:
    """One result of several; ``what`` is that of the first with mismatches."""
    wrong = [each for each in results if each.mismatches]
    return VerificationResult(
        sum(each.mismatches for each in wrong),
        [mismatch for each in wrong for mismatch in each.first],
        wrong[0].what if wrong else results[0].what,
    )
