"""One TCP connection and the session on it: where a blocking client's bytes move."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpubench.errors import GpubenchError, Unreachable
from gpubench.protocol.messages import Accepted, Method, RunIdParams
from gpubench.protocol.session import ClientSession, Event, Failure, Result
from gpubench.results.progress import Progress
from gpubench_client.backend import ignore
from gpubench_client.urls import Address

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

_STOP_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Listener:
    """Who hears what happens until the answer comes, and may ask for an end."""

    on_accepted: Callable[[Accepted], None] = ignore
    on_progress: Callable[[Progress], None] = ignore
    stop: StopRequest | None = None


class ServerConnection:
    """Raises ``Unreachable`` where nobody answers, or no longer."""

    def __init__(
        self, address: Address, connect_timeout_seconds: float, answer_timeout_seconds: float
    ) -> None:
        self._address = address
        self._answer_timeout_seconds = answer_timeout_seconds
        self._session = ClientSession()
        try:
            self._socket = socket.create_connection((address.host, address.port), connect_timeout_seconds)
        except (OSError, UnicodeError) as error:  # the latter for what is no host name at all
            reason = getattr(error, "strerror", None) or str(error)
            raise Unreachable(
                f"no server answers at {address}: {reason}; start gpubench-server there, check host and "
                "port, or leave the server out to measure on this machine"
            ) from None
        # Requests are single small writes; waiting to fill a segment only delays them.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: Method, params: msgspec.Struct | None, listener: Listener) -> Result | Failure:
        """Send a request and wait for its answer, telling ``listener`` what comes before it.

        Once the listener's ``stop`` has a reason, the run is cancelled, and the answer says so.
        After an exception, also one from the listener, the connection takes no further request.
        """
        request_id = self._send(method, params)
        run_id: str | None = None
        cancelling = False
        while True:
            # There is nothing to stop before the run has its id, and nothing more to ask after.
            stop = listener.stop if run_id and not cancelling else None
            for event in self._wait(stop, run_id):
                match event:
                    case Accepted():
                        run_id = event.run_id
                        listener.on_accepted(event)
                    case Progress():
                        listener.on_progress(event)
                    case Result() | Failure() if event.request_id in (request_id, None):
                        return event
                    case _:
                        pass  # the answer to our cancel
            if run_id and stop and stop.reason:
                cancelling = True
                self._send("cancel", RunIdParams(run_id))

    def usable(self) -> bool:
        """Whether it can take a request: servers close connections on which nothing is asked."""
        try:
            while self._receive(0.0):
                pass
        except GpubenchError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, method: Method, params: msgspec.Struct | None) -> int:
        request_id, data = self._session.request(method, params)
        # A server that has no place for us says so and closes: what it said is worth more than
        # the failure to send, and where it said nothing, receiving finds the end.
        with contextlib.suppress(OSError):
            self._socket.sendall(data)
        return request_id

    def _wait(self, stop: StopRequest | None, run_id: str | None) -> list[Event]:
        """The next events, or none where there is a reason to stop, which somebody must look at."""
        until = time.monotonic() + self._answer_timeout_seconds
        slice_seconds = _STOP_POLL_SECONDS if stop else self._answer_timeout_seconds
        try:
            while time.monotonic() < until:
                events = self._receive(slice_seconds)
                if events or (stop and stop.reason):
                    return events
            raise Unreachable(f"{self._address} said nothing for {self._answer_timeout_seconds:g} s")
        except Unreachable as error:
            if run_id is None:
                raise
            raise Unreachable(f"{error.message}; the run was {run_id}", run_id=run_id) from None

    def _receive(self, timeout_seconds: float) -> list[Event]:
        """The next events, or none after ``timeout_seconds``."""
        self._socket.settimeout(timeout_seconds)
        try:
            data = self._socket.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            return []
        except OSError as error:
            raise Unreachable(f"the connection to {self._address} broke: {error.strerror}") from None
        if not data:
            raise Unreachable(f"{self._address} closed the connection before it had answered")
        return self._session.feed(data)
