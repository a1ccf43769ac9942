"""The places of the HTTP port: how many connections it has at once, and who gets a place when all are taken.

A connection is new until the head of a request has come on it. When all places are taken, a further client
gets that of the oldest new connection. So clients that connect and stay silent, in the TLS handshake or after
it, cannot shut others out, and one whose response is being made keeps its place. The other ports do the same
(``places.py``), in threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gpubench_server.authentication import is_loopback

SPARED_SECONDS = 0.1
"""In which a new connection keeps its place, so that its request can be read. Otherwise many clients that
connect at once would replace each other, and none would be served."""


@dataclass(eq=False)
class Place:
    """One connection's."""

    host: str
    spared_until: float
    give_up: Callable[[], None]
    """What ends the connection if its place is given to another."""
    is_new: bool = True


class HttpPlaces:
    """``maximum`` places, of which an address of another machine may have half. Of one event loop."""

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._clock = clock
        self._taken: dict[Place, None] = {}  # the oldest first

    def take(self, host: str, give_up: Callable[[], None]) -> Place | None:
        """A place for a client at ``host``, if need be that of another; None if there is none."""
        if not self._make_room(host):
            return None
        place = Place(host, self._clock() + SPARED_SECONDS, give_up)
        self._taken[place] = None
        return place

    def release(self, place: Place) -> None:
        """The connection ends, or needs no place any more; it may have lost it before."""
        self._taken.pop(place, None)

    def _make_room(self, host: str) -> bool:
        competing = [place for place in self._taken if place.host == host]
        share = self._maximum if is_loopback(host) else max(1, self._maximum // 2)
        if len(competing) < share:
            competing = list(self._taken)
            share = self._maximum
        if len(competing) < share:
            return True
        now = self._clock()
        oldest = next((each for each in competing if each.is_new and each.spared_until <= now), None)
        if oldest is None:
            return False
        self.release(oldest)
        oldest.give_up()
        return True
