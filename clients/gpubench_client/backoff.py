"""How long to wait before asking a busy server again."""

from __future__ import annotations

import random
from collections.abc import Iterator

BASE_SECONDS = 0.25
LONGEST_SECONDS = 8.0


class Backoff:
    """Full jitter: each wait is drawn from 0 to a bound that doubles.

    Clients that were refused together must not come back together, which a fixed wait, or one
    with a little noise on it, makes them do. What the server asks for comes before the drawn wait,
    not instead of it, for the same reason.
    """

    def __init__(self, patience_seconds: float, draw: random.Random | None = None) -> None:
        self._patience_seconds = patience_seconds
        self._draw = draw or random.SystemRandom()
        self._bounds = _doubling()

    def next_wait(self, asked_seconds: float = 0.0) -> float | None:
        """Seconds to wait now, at least ``asked_seconds``; None once patience would be exceeded."""
        wait = max(0.0, asked_seconds) + self._draw.uniform(0.0, next(self._bounds))
        if wait > self._patience_seconds:
            return None
        self._patience_seconds -= wait
        return wait


def _doubling() -> Iterator[float]:
    bound = BASE_SECONDS
    while True:
        yield bound
        bound = min(2 * bound, LONGEST_SECONDS)
