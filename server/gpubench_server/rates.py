"""How often somebody may do something: a bucket of permissions for each, filled at a steady rate."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MAX_KEYS = 4096
"""Buckets that are kept; whoever was heard of least recently is forgotten first."""


class Rates:
    """``burst_seconds`` is how long somebody who was quiet may save up for. Any thread."""

    def __init__(self, burst_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()  # when the bucket of each is full again

    def wait_seconds(self, key: Hashable, per_second: float) -> float:
        """0 if it is allowed now, which is counted; else in how many seconds it will be."""
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(key, now), now)
            # Of a bucket with room for one only, that one may always be taken once it is full.
            early = full_at + 1 / per_second - now - max(self._burst_seconds, 1 / per_second)
            if early > 1e-9:
                return early
            self._full_at[key] = full_at + 1 / per_second
            self._full_at.move_to_end(key)
            while len(self._full_at) > _MAX_KEYS:
                self._full_at.popitem(last=False)
            return 0.0
