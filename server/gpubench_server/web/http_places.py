"""The places of the HTTP port: how many connections it has at once, and who gets a place when all are taken.

A connection is new until the head of a request has come on it. When all places are taken, a further client
gets that of the oldest new connection. So clients that connect and stay silent, in the TLS handshake or after
it, cannot shut others out, and one whose response is being made keeps its place. The other ports do the same
(``places.py``), in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpubench_server.authentication import is_loopback


@dataclass(eq=False)
class Place:
    """One connection's."""

    host: str
    give_up: Callable[[], None]
    """What ends the connection if its place is given to another."""
    is_new: bool = True


class HttpPlaces:
    """``maximum`` places, of which an address of another machine may have half. Of one event loop."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._taken: dict[Place, None] = {}  # the oldest first

    def take(self, host: str, give_up: Callable[[], None]) -> Place | None:
        """A place for a client at ``host``, if need be that of another; None if there is none."""
        if not self._make_room(host):
            return None
        place = Place(host, give_up)
        self._taken[place] = None
        return place

    def release(self, place: Place) -> None:
        """The connection ends; it may have lost its place before."""
        self._taken.pop(place, None)

    def _make_room(self, host: str) -> bool:
        competing = [place for place in self._taken if place.host == host]
        share = self._maximum if is_loopback(host) else max(1, self._maximum // 2)
        if len(competing) < share:
            competing = list(self._taken)
            share = self._maximum
        if len(competing) < share:
            return True
        oldest = next((place for place in competing if place.is_new), None)
        if oldest is None:
            return False
        self.release(oldest)
        oldest.give_up()
        return True
