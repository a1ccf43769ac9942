import random

import pytest
from gpubench_client.backoff import BASE_SECONDS, LONGEST_SECONDS, Backoff


def waits(patience_seconds: float, asked_seconds: float = 0.0, seed: int = 1) -> list[float]:
    backoff = Backoff(patience_seconds, random.Random(seed))
    found = []
    while (wait := backoff.next_wait(asked_seconds)) is not None:
        found.append(wait)
    return found


@pytest.mark.parametrize("patience_seconds", [0.0, 0.1, 1.0, 30.0, 300.0])
def test_the_sum_of_waits_stays_within_patience(patience_seconds: float) -> None:
    assert all(sum(waits(patience_seconds, seed=seed)) <= patience_seconds for seed in range(50))


def test_without_patience_there_is_no_retry() -> None:
    assert waits(0.0) == []


def test_waits_are_random_below_a_bound_that_doubles() -> None:
    many = [waits(60.0, seed=seed) for seed in range(400)]
    for number in range(8):
        bound = min(BASE_SECONDS * 2**number, LONGEST_SECONDS)
        drawn = [each[number] for each in many if len(each) > number]
        assert max(drawn) <= bound
        assert max(drawn) > 0.9 * bound
        assert min(drawn) < 0.1 * bound


def test_waits_are_at_least_what_the_server_asks() -> None:
    found = waits(60.0, asked_seconds=5.0)
    assert found
    assert all(wait >= 5.0 for wait in found)


def test_clients_refused_together_retry_apart() -> None:
    assert len({waits(60.0, asked_seconds=5.0, seed=seed)[0] for seed in range(50)}) == 50


def test_no_retry_if_the_server_asks_for_more_than_patience() -> None:
    assert waits(4.0, asked_seconds=5.0) == []
