"""The client's side of the protocol as generators: they do no I/O and read no clock.

Each yields the step that it waits for (``Connect``, ``Send``, ``Receive``, ``Sleep``, ``Close``), and
is sent the ``Outcome``. A driver performs the steps: ``blocking.BlockingDriver`` with a socket that
blocks; an asynchronous one needs only to await each step. An exception from a step is thrown into the
generator, which decides what it means.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import msgspec

import gpubench
from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import GpubenchError, ProtocolError, QueueFull, TooManyConnections, Unreachable
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.protocol.messages import Accepted, Method, RunIdParams, RunParams
from gpubench.protocol.session import ClientSession, Event, Failure, Result
from gpubench.results.progress import Progress
from gpubench.validation import Range, check_range
from gpubench_client.backend import RunCallbacks
from gpubench_client.backoff import Backoff
from gpubench_client.urls import Address

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

BUSY = (QueueFull, TooManyConnections)
"""Refusals that pass by themselves: the request is repeated, for as long as patience lasts."""

STOP_POLL_SECONDS = 0.1
"""How often a ``StopRequest``, which any thread may set, is looked at while waiting."""

_TIMEOUT = Range(0.001, 86_400, "s")
_PATIENCE = Range(0, 86_400, "s")

_HELLO = messages.HelloParams(client=f"gpubench/{gpubench.__version__}")
_NO_CALLBACKS = RunCallbacks()


@dataclass(slots=True)  # not frozen, which would double what a step costs
class Connect:
    """Open a TCP connection, in place of any that is open. Fails with ``OSError`` or ``UnicodeError``."""

    host: str
    port: int
    timeout_seconds: float


@dataclass(slots=True)
class Send:
    """Send all of ``data``. Fails with ``OSError``."""

    data: bytes
    timeout_seconds: float


@dataclass(slots=True)
class Receive:
    """Wait for bytes; with a timeout of 0, take only what is there already. Fails with ``OSError``."""

    timeout_seconds: float


@dataclass(slots=True)
class Sleep:
    seconds: float


@dataclass(slots=True)
class Close:
    """Close the connection, if one is open."""


Step = Connect | Send | Receive | Sleep | Close


class Outcome(NamedTuple):
    """How long a step took, and what a ``Receive`` got.

    ``data`` is empty at the end of the stream, and None if nothing came in time.
    """

    waited_seconds: float = 0.0
    data: bytes | None = None


T = TypeVar("T")
Steps: TypeAlias = Generator[Step, Outcome, T]


class ClientProtocol:
    """One server's requests, each as a generator. Run one to its end before the next.

    Connects for the first request, and again if the connection broke or the server closed it. Raises
    ``GpubenchError``: what the server answered, or ``Unreachable``. Its constructor raises
    ``InvalidParameters`` for a time that is out of its range.
    """

    def __init__(
        self,
        address: Address,
        *,
        connect_timeout_seconds: float,
        answer_timeout_seconds: float,
        patience_seconds: float,
        on_retry: Callable[[GpubenchError, float], None],
    ) -> None:
        for name, value, allowed in (
            ("connect_timeout_seconds", connect_timeout_seconds, _TIMEOUT),
            ("answer_timeout_seconds", answer_timeout_seconds, _TIMEOUT),
            ("patience_seconds", patience_seconds, _PATIENCE),
        ):
            check_range(name, value, allowed)
        self._address = address
        self._connect_timeout_seconds = connect_timeout_seconds
        self._answer_timeout_seconds = answer_timeout_seconds
        self._patience_seconds = patience_seconds
        self._on_retry = on_retry
        self._exchange: _Exchange | None = None

    def close(self) -> Steps[None]:
        self._exchange = None
        yield Close()

    def hello(self) -> Steps[messages.Hello]:
        return self._ask("hello", _HELLO)

    def ping(self) -> Steps[messages.Pong]:
        return self._ask("ping")

    def devices(self) -> Steps[messages.Devices]:
        return self._ask("devices")

    def benchmarks(self) -> Steps[Benchmarks]:
        return self._ask("benchmarks")

    def run(self, params: RunParams, callbacks: RunCallbacks) -> Steps[RunDocument]:
        return self._ask("run", params, callbacks)

    def submit(self, params: RunParams) -> Steps[Accepted]:
        """Have a detached run accepted; its later events are nobody's, so the connection is closed."""
        answer = yield from self._ask("run", params, until_accepted=True)
        if not isinstance(answer, Accepted):
            raise ProtocolError("the server answered a run that it had not accepted")
        return answer

    def cancel(self, run_id: str) -> Steps[messages.Cancelling]:
        return self._ask("cancel", RunIdParams(run_id))

    def status(self) -> Steps[messages.Status]:
        return self._ask("status")

    def result(self, run_id: str) -> Steps[RunDocument]:
        return self._ask("result", RunIdParams(run_id))

    def results(self, limit: int, device: str | None) -> Steps[messages.Results]:
        return self._ask("results", messages.ResultsParams(limit, device))

    def _ask(
        self,
        method: Method,
        params: msgspec.Struct | None = None,
        callbacks: RunCallbacks = _NO_CALLBACKS,
        until_accepted: bool = False,
    ) -> Steps[Any]:
        """Ask until the answer is another one than busy, or patience is over."""
        backoff: Backoff | None = None
        while True:
            answer = yield from self._ask_once(method, params, callbacks, until_accepted)
            if isinstance(answer, Accepted):
                return answer
            if isinstance(answer, Result):
                return answer.value
            error = answer.error
            backoff = backoff or Backoff(self._patience_seconds)
            wait_seconds = backoff.next_wait(_retry_after(error)) if isinstance(error, BUSY) else None
            if wait_seconds is None:
                raise error
            self._on_retry(error, wait_seconds)
            yield from _pause(wait_seconds, callbacks.stop)

    def _ask_once(
        self, method: Method, params: msgspec.Struct | None, callbacks: RunCallbacks, until_accepted: bool
    ) -> Steps[Result | Failure | Accepted]:
        try:
            exchange, refusal = yield from self._connected()
            answer = refusal or (yield from exchange.ask(method, params, callbacks, until_accepted))
        except GeneratorExit:  # the driver gave up, and can perform no further step
            self._exchange = None
            raise
        except BaseException:
            # An answer may still be on its way: this connection can take no further request.
            yield from self.close()
            raise
        if refusal or isinstance(answer, Accepted) or answer.request_id is None:
            yield from self.close()
        return answer

    def _connected(self) -> Steps[tuple[_Exchange, Failure | None]]:
        """A connection on which hello was said, and the server's refusal, if it was refused."""
        if self._exchange is not None and (yield from self._exchange.is_usable()):
            return self._exchange, None
        try:
            yield Connect(self._address.host, self._address.port, self._connect_timeout_seconds)
        except (OSError, UnicodeError) as error:  # the latter for a text that is not a host name at all
            reason = getattr(error, "strerror", None) or str(error) or "timed out"
            raise Unreachable(
                f"no server answers at {self._address}: {reason}; start gpubench-server there, check host "
                "and port, or leave the server out to measure on this machine"
            ) from None
        self._exchange = _Exchange(self._address, self._answer_timeout_seconds)
        answer = yield from self._exchange.ask("hello", _HELLO, _NO_CALLBACKS)
        if isinstance(answer, Failure):
            return self._exchange, answer
        if isinstance(answer, Result) and answer.value.protocol != messages.PROTOCOL:
            raise ProtocolError(
                f"{self._address} speaks protocol {answer.value.protocol}, this client {messages.PROTOCOL}; "
                "update the older of the two"
            )
        return self._exchange, None


class _Exchange:
    """Requests and answers on one connection. After an exception it takes no further request."""

    def __init__(self, address: Address, answer_timeout_seconds: float) -> None:
        self._address = address
        self._answer_timeout_seconds = answer_timeout_seconds
        self._session = ClientSession()

    def ask(
        self,
        method: Method,
        params: msgspec.Struct | None,
        callbacks: RunCallbacks,
        until_accepted: bool = False,
    ) -> Steps[Result | Failure | Accepted]:
        """Send a request and wait for its answer, or with ``until_accepted`` only for its acceptance.

        Once ``callbacks.stop`` has a reason, the run is cancelled, and the answer says so.
        """
        request_id = yield from self._send(method, params)
        run_id: str | None = None
        cancelling = False
        while True:
            # A run cannot be cancelled before it has an id, and need not be twice.
            stop = callbacks.stop if run_id and not cancelling else None
            for event in (yield from self._next_events(stop, run_id)):
                match event:
                    case Accepted() if until_accepted:
                        return event
                    case Accepted():
                        run_id = event.run_id
                        callbacks.on_accepted(event)
                    case Progress():
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
        # A server that refuses a connection says why and closes: what it said is worth more than the
        # failure to send, and if it said nothing, receiving finds the end.
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
            raise Unreachable(f"the connection to {self._address} broke: {error.strerror}") from None
        if data == b"":
            raise Unreachable(f"{self._address} closed the connection before it had answered")
        # More than was asked for is time in which this process was stopped, not the server silent.
        return (self._session.feed(data) if data else []), min(waited_seconds, timeout_seconds)


def _retry_after(error: GpubenchError) -> float:
    """How many seconds the server asks to wait, 0 if it does not say."""
    seconds = error.details.get("retry_after_seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _pause(seconds: float, stop: StopRequest | None) -> Steps[None]:
    """Wait; raises the reason to stop, if there is one by then."""
    while seconds > 0:
        if stop is not None and stop.reason is not None:
            raise stop.reason
        seconds -= (yield Sleep(min(seconds, STOP_POLL_SECONDS))).waited_seconds
