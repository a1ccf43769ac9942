"""How many passes make a sample."""

from __future__ import annotations

import pytest

from gpubench.devices.base import Operation, Together
from gpubench.measure.sampling import passes_for

LAUNCH: Operation = Together((), ())
"""Two events and two waits in a driver's queue."""


@pytest.mark.parametrize(
    ("operations", "pass_seconds", "passes"),
    [
        ([LAUNCH], 1e-3, 5),
        ([LAUNCH], 4e-3, 2),
        ([LAUNCH], 6e-3, 1),
        ([LAUNCH], 0.0, 1),
        ([LAUNCH], 2e-6, 64),  # of 2500
        ([LAUNCH] * 10, 2e-5, 6),
        ([LAUNCH] * 100, 1e-3, 1),
        ([], 1e-6, 256),
    ],
)
def test_a_sample_lasts_long_enough_and_a_device_is_given_all_of_it_before_it_begins(
    operations: list[Operation], pass_seconds: float, passes: int
) -> None:
    assert passes_for(operations, pass_seconds, 5e-3) == passes
