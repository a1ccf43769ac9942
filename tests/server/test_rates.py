"""Buckets of permissions, on a clock that the test turns."""

from __future__ import annotations

from gpubench_server.rates import _MAX_KEYS, Rates
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_somebody_who_was_quiet_may_save_up() -> None:
    clock = Clock()
    rates = Rates(burst_seconds=2.0, clock=clock)
    assert [rates.wait_seconds("a", 5.0) for _ in range(10)] == [0.0] * 10
    assert abs(rates.wait_seconds("a", 5.0) - 0.2) < 1e-6
    assert rates.wait_seconds("b", 5.0) == 0.0
    clock.now += 0.2
    assert rates.wait_seconds("a", 5.0) == 0.0
    assert rates.wait_seconds("a", 5.0) > 0.0


def test_a_slow_rate_lets_the_first_through() -> None:
    clock = Clock()
    rates = Rates(burst_seconds=1.0, clock=clock)
    assert rates.wait_seconds("a", 0.01) == 0.0
    assert abs(rates.wait_seconds("a", 0.01) - 100) < 1e-6


def test_as_many_are_remembered_as_fit() -> None:
    rates = Rates(burst_seconds=1.0, clock=Clock())
    for key in range(_MAX_KEYS + 100):
        rates.wait_seconds(key, 1.0)
    assert len(rates._full_at) == _MAX_KEYS


@given(st.lists(st.floats(0, 0.5), max_size=200), st.sampled_from([0.5, 3.0, 40.0]))
def test_nobody_gets_more_than_the_rate_and_one_burst(pauses: list[float], per_second: float) -> None:
    clock = Clock()
    rates = Rates(burst_seconds=2.0, clock=clock)
    allowed = 0
    for pause in pauses:
        clock.now += pause
        allowed += rates.wait_seconds("a", per_second) == 0.0
    assert allowed <= sum(pauses) * per_second + max(1, 2.0 * per_second) + 1e-6
