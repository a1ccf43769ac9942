"""The registry's rows are complete: whatever can be asked for can be measured and verified."""

from __future__ import annotations

import pytest

from gpubench.benchmarks.registry import BENCHMARKS, STREAM


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_row_has_a_module_that_measures_it(name: str) -> None:
    assert callable(BENCHMARKS[name].measure)


@pytest.mark.parametrize("name", STREAM)
def test_every_stream_row_is_verified_in_one_way(name: str) -> None:
    """By the elements of one of its arrays, or by the sums of its groups."""
    row = STREAM[name]
    assert (row.output_array is None) == (row.sums_kernel is not None)
    assert row.output_array is None or row.output_array < row.arrays
