"""Which figures of a run are followed over time."""

from __future__ import annotations

from typing import Any

import pytest

from gpubench.comparison.verdicts import why_unusable
from gpubench.results.document import Summary
from gpubench.results.figures import figures, usable_figure
from tests.documents import document, measurement

ZERO = Summary(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ENDLESS = Summary(1.0, 1.0, float("inf"), 1.0, 1.0, 1.0, 1.0)
LATENCY = Summary(1e-7, 1e-7, 1e-7, 1e-7, 1e-7, 1e-7, 1e-7)

CASES: list[dict[str, Any]] = [
    {},
    {"status": "failed"},
    {"verified": False},
    {"flags": ["unverified"]},
    {"flags": ["contended"]},
    {"bandwidth_bytes_per_second": None},
    {"bandwidth_bytes_per_second": ZERO},
    {"bandwidth_bytes_per_second": ENDLESS},
    {"quantity": "latency"},
    {"quantity": "latency", "latency_seconds": LATENCY},
    {"quantity": "something new"},
]


@pytest.mark.parametrize("fields", CASES)
def test_the_history_has_the_figures_that_may_be_compared(fields: dict[str, Any]) -> None:
    from msgspec.structs import replace

    one = replace(measurement(1500), **fields)
    assert (usable_figure(one) is None) == (why_unusable(one) is not None)


def test_time_and_data_are_no_settings() -> None:
    runs = [
        document(measurement(1500, parameters={"dtype": "float", "seed": seed, "time_limit_seconds": seed}))
        for seed in (1, 2)
    ]
    first, second = (next(figures(run)) for run in runs)
    assert first.settings == second.settings
    assert first.settings.parameters == {"dtype": "float"}


def test_a_run_without_a_device_has_no_figures() -> None:
    from msgspec.structs import replace

    assert list(figures(replace(document(measurement(1500)), device=None))) == []
