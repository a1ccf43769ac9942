"""Requests and answers on one connection, as generators of the steps that a driver performs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gpubench.errors import GpubenchError, Unreachable
from gpubench.protocol.messages import Accepted, Method, RunIdParams, RunParams
from gpubench.protocol.session import ClientSession, Event, Failure, Result
from gpubench.results.progress import Progress
from gpubench_client.backend import RunCallbacks
from gpubench_client.steps import Receive, Send, Steps
from gpubench_client.urls import ServerAddress

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

STOP_POLL_SECONDS = 0.1
"""How often a ``StopRequest``, which any thread may set, is looked at while waiting."""

NO_CALLBACKS = RunCallbacks()

SAFE: frozenset[Method] = frozenset(
    ("hello", "ping", "devices", "benchmarks", "status", "result", "results", "history")
)
"""Methods that change nothing: whether the server has seen such a request does not matter."""


@dataclass(slots=True)
class Request:
    """One request, however often it is sent; with ``until_accepted`` the acceptance of a run answers it."""

    method: Method
    params: msgspec.Struct | None = None
    callbacks: RunCallbacks = NO_CALLBACKS
    until_accepted: bool = False
    sent: bool = field(default=False, init=False)
    """Whether it was sent to a gpubench server, so that the address is right."""
    done_ratio: float = field(default=0.0, init=False)
    """How far its run was at its last progress."""

    @property
    def repeatable(self) -> bool:
        """Whether to send it again if the connection breaks: it then waits for the same run as before.

        A run is the same by its key, if it outlived the connection. Other requests are answered soon or
        not at all, so their callers may as well repeat them.
        """
        if isinstance(self.params, RunParams):
            return self.params.detach and self.params.key is not None
        return self.method == "result"


class Exchange:
    """Requests and answers on one connection. After an exception it takes no further request."""

    def __init__(self, address: ServerAddress, answer_timeout_seconds: float) -> None:
        self._address = address
        self._answer_timeout_seconds = answer_timeout_seconds
        self._session = ClientSession()
        self.ended = False
        """Whether the server, or what is between, has ended the connection."""

    def ask(self, request: Request) -> Steps[Result | Failure | Accepted]:
        """Send a request and wait for its answer.

        Once ``callbacks.stop`` has a reason, the run is cancelled, and the answer is its error.
        """
        callbacks = request.callbacks
        request_id = yield from self._send(request.method, request.params)
        request.sent = True
        run_id: str | None = None
        cancelling = False
        while True:
            # A run cannot be cancelled before it has an id, and need not be twice.
            stop = callbacks.stop if run_id and not cancelling else None
            for event in (yield from self._next_events(stop, run_id)):
                match event:
                    case Accepted() if request.until_accepted:
                        return event
                    case Accepted():
                        run_id = event.run_id
                        callbacks.on_accepted(event)
                    case Progress():
                        request.done_ratio = event.done_ratio
                        callbacks.on_progress(event)
                    case Result() | Failure() if event.request_id in (request_id, None):
                        return event
                    case _:
                        pass  # the answer to our cancel
            if run_id and stop and stop.reason:
                cancelling = True
                yield from self._send("cancel", RunIdParams(run_id))

    def is_usable(self) -> Steps[bool]:
        """Whether the connection can take a request: servers close those that were idle for long."""
        try:
            while (yield from self._receive(0.0))[0]:
                pass
        except GpubenchError:
            return False
        return True

    def _send(self, method: Method, params: msgspec.Struct | None) -> Steps[int]:
        request_id, data = self._session.request(method, params)
        # A server that refuses a connection sends the reason and closes: that reason is worth more than
        # the failure to send, and without one, receiving finds the end.
        with contextlib.suppress(OSError):
            yield Send(data, self._answer_timeout_seconds)
        return request_id

    def _next_events(self, stop: StopRequest | None, run_id: str | None) -> Steps[list[Event]]:
        """The next events; none if ``stop`` has a reason now."""
        remaining_seconds = self._answer_timeout_seconds
        try:
            while remaining_seconds > 0:
                events, waited_seconds = yield from self._receive(
                    min(remaining_seconds, STOP_POLL_SECONDS) if stop else remaining_seconds
                )
                if events or (stop and stop.reason):
                    return events
                remaining_seconds -= waited_seconds
            raise Unreachable(f"{self._address} sent nothing for {self._answer_timeout_seconds:g} s")
        except Unreachable as error:
            if run_id is None:
                raise
            raise Unreachable(f"{error.message}; the run was {run_id}", run_id=run_id) from None

    def _receive(self, timeout_seconds: float) -> Steps[tuple[list[Event], float]]:
        """The next events, none if none is complete by then, and how many seconds passed."""
        try:
            waited_seconds, data = yield Receive(timeout_seconds)
        except OSError as error:
            self.ended = True
            raise Unreachable(f"the connection to {self._address} broke: {error.strerror}") from None
        if data == b"":
            self.ended = True
            raise Unreachable(f"{self._address} closed the connection before it had answered")
        # More than was asked for is time in which this process was stopped, not the server silent.
        return (self._session.feed(data) if data else []), min(waited_seconds, timeout_seconds)
