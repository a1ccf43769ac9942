"""How long to wait before a request to a busy server is repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator

BASE_SECONDS = 0.25
LONGEST_SECONDS = 8.0


class Backoff:
    """Full jitter: each wait is random, between 0 and a bound that doubles.

    Clients that were refused together must not return together, as they do after a fixed wait, or one
    with a little noise. For the same reason the random wait is added to what the server asks for.
    """

    def __init__(self, patience_seconds: float, generator: random.Random | None = None) -> None:
        self._patience_seconds = patience_seconds
        self._random = generator or random.SystemRandom()
        self._bounds = _doubling()

    def next_wait(self, asked_seconds: float = 0.0) -> float | None:
        """Seconds to wait now, at least ``asked_seconds``; None if that is more than patience is left for."""
        wait = max(0.0, asked_seconds) + self._random.uniform(0.0, next(self._bounds))
        if wait > self._patience_seconds:
            return None
        self._patience_seconds -= wait
        return wait


def _doubling() -> Iterator[float]:
    bound = BASE_SECONDS
    while True:
        yield bound
        bound = min(2 * bound, LONGEST_SECONDS)
