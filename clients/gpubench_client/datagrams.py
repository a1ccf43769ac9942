"""A request as one datagram, and its answer as another: without a connection, and without a guarantee."""

from __future__ import annotations

import secrets

from gpubench.errors import InvalidParameters, Unreachable
from gpubench.protocol.messages import DATAGRAM_METHODS, MAX_DATAGRAM_BYTES
from gpubench.protocol.session import ClientSession, Failure, Result
from gpubench_client.exchange import Request
from gpubench_client.steps import Question, Steps
from gpubench_client.urls import ServerAddress

_ID_BITS = 52
"""What every JSON library keeps exact."""

_REPEAT_SECONDS = 1.0
"""A datagram may be lost, as may its answer."""


def ask_by_datagram(
    address: ServerAddress, request: Request, timeout_seconds: float
) -> Steps[Result | Failure]:
    """Ask until there is an answer or the time is over.

    Raises ``InvalidParameters`` for a method that needs a connection, and ``Unreachable``.
    """
    if request.method not in DATAGRAM_METHODS:
        raise InvalidParameters(
            f"{address}: only {' and '.join(sorted(DATAGRAM_METHODS))} can be asked by datagram; use tcp:// "
            "or unix:// for everything else"
        )
    # Not to be guessed: anybody can send a datagram, and call it the answer.
    session = ClientSession(secrets.randbits(_ID_BITS))
    _, line = session.request(request.method, request.params)
    padded = line.rstrip(b"\n").ljust(MAX_DATAGRAM_BYTES)
    while timeout_seconds > 0:
        try:
            waited_seconds, data = yield Question(address, padded, min(timeout_seconds, _REPEAT_SECONDS))
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"no server answers at {address}: {error}") from None
        for event in session.feed(data) if data else ():
            if isinstance(event, Result | Failure):
                return event
        timeout_seconds -= waited_seconds
    raise Unreachable(
        f"{address} did not answer; a server answers datagrams only if it was started with that address as a "
        "--listen"
    )
