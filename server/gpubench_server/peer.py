"""Who is at the other end of a transport, and which methods that allows."""

from __future__ import annotations

from dataclasses import dataclass

from gpubench.errors import Forbidden
from gpubench.protocol.messages import PARAMETERS


@dataclass(frozen=True)
class Peer:
    """The other end of a connection."""

    methods: frozenset[str]

    def check(self, method: str) -> None:
        """Raises ``Forbidden`` for a method that is not for this peer."""
        if method not in self.methods:
            raise Forbidden(_WHY[method])


ADMINISTRATOR = Peer(frozenset(PARAMETERS))
"""On this machine, and the server's own user or root."""

USER = Peer(ADMINISTRATOR.methods - {"drain"})

_WHY = {
    "drain": "`drain` is only for root and the user of the server, on the server's Unix socket "
    "(--listen unix:///PATH)",
}
