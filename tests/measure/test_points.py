"""What was timed is what is verified: whole samples, and what builds up over them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gpubench.devices.base import Device, Operation
from gpubench.measure import workbench
from tests.measure.conftest import MIB, Measure


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "COLD_LIMIT_SECONDS", 0.05)


def test_passes_that_are_lost_together_are_found(
    device: Device, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime that does nothing of several launches at once; each alone is well."""
    run = device.run

    def lose(operations: Sequence[Operation]) -> float:
        return run(operations) if len(operations) == 1 else 1e-3

    monkeypatch.setattr(device, "run", lose)
    _, told = measure("mix", footprint_bytes=MIB)
    assert {m.status for m in told.measurements} == {"unverified"}


def test_a_timed_walk_that_stood_still_is_found(measure: Measure) -> None:
    """In its third pass: after the first check, and the last one begins anew."""
    follow = "state[0] = (u64)follow("
    faults = (("latency.cl", follow, f"if (state[1] != 2 * steps) {follow}"),)
    _, told = measure("latency", footprint_bytes=MIB, faults=faults)
    assert {m.status for m in told.measurements} == {"unverified"}
