"""How many passes make a sample."""

from __future__ import annotations

import pytest

from gpubench.devices.base import Copy, Operation, Together
from gpubench.measure.sampling import passes_for

ONE: Operation = Copy(None, None, 1)  # type: ignore[arg-type]
FOUR: Operation = Together((), ())
"""Two events and two waits in a driver's queue."""


@pytest.mark.parametrize(
    ("operations", "pass_seconds", "passes"),
    [
        ([ONE], 1e-3, 50),
        ([ONE], 4e-2, 2),
        ([ONE], 6e-2, 1),
        ([ONE], 0.0, 1),
        ([ONE], 4e-5, 1250),
        ([ONE], 2e-6, 256),  # of 25000
        ([FOUR], 2e-6, 64),
        ([FOUR, ONE] * 10, 2e-5, 5),
        ([FOUR, ONE] * 100, 1e-3, 1),
        ([], 1e-6, 256),
    ],
)
def test_a_sample_is_long_enough_and_enqueued_before_it_begins(
    operations: list[Operation], pass_seconds: float, passes: int
) -> None:
    assert passes_for(operations, pass_seconds, 5e-2) == passes
