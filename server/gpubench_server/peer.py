"""Who is at the other end of a transport, and which methods that allows."""

from __future__ import annotations

from dataclasses import dataclass

from gpubench.errors import Forbidden
from gpubench.protocol.messages import DATAGRAM_METHODS, PARAMETERS


@dataclass(frozen=True)
class Peer:
    """The other end: the methods that it may call, and why it may not call others."""

    methods: frozenset[str]
    reason: str = ""

    def check(self, method: str) -> None:
        """Raises ``Forbidden`` for a method that is not for this peer."""
        if method not in self.methods:
            raise Forbidden(f"{method}: {self.reason}")


ADMINISTRATOR = Peer(frozenset(PARAMETERS))
"""On this machine, and the server's own user or root."""

USER = Peer(
    ADMINISTRATOR.methods - {"drain"},
    "only root and the server's own user may, on a Unix socket of the server (--listen unix:///PATH)",
)

DATAGRAMS = Peer(
    DATAGRAM_METHODS, "only ping and status are answered by datagram; use tcp:// or unix:// for the rest"
)
