"""How often addresses of other machines may connect."""

from __future__ import annotations

from gpubench.errors import LimitExceeded
from gpubench_server.authentication import is_loopback
from gpubench_server.rates import Rates

_BURST_SECONDS = 10.0
"""How long an address that was quiet may save up its connections for."""


class ConnectionRates:
    """``per_second`` is the limit of each address; this machine has none. Any thread."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._rates = Rates(_BURST_SECONDS)

    def check(self, host: str) -> None:
        """Count a connection; raises ``LimitExceeded`` for one too many."""
        if not is_loopback(host) and self._rates.wait_seconds(host, self._per_second):
            raise LimitExceeded(
                f"too many connections from {host}, allowed: {self._per_second:g} per second; try again in a "
                "moment",
                retryable=True,
                limit="connection_rate",
                retry_after_seconds=round(1 / self._per_second, 3),
            )
