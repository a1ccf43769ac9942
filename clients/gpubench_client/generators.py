"""The client's side of the protocol as generators: they do no I/O and read no clock.

Each yields the steps that it waits for, one by one, and a driver performs them; see ``steps``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

import gpubench
from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import (
    Draining,
    GpubenchError,
    ProtocolError,
    QueueFull,
    TooManyConnections,
    Unreachable,
)
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.protocol.messages import Accepted, RunIdParams, RunParams
from gpubench.protocol.session import Failure, Result
from gpubench.results.history import History
from gpubench.validation import Range, check_range
from gpubench_client.access import NO_ACCESS, Access
from gpubench_client.backend import RunCallbacks
from gpubench_client.backoff import Backoff
from gpubench_client.datagrams import ask_by_datagram
from gpubench_client.exchange import SAFE, STOP_POLL_SECONDS, Exchange, Request
from gpubench_client.steps import Close, Connect, Sleep, Steps
from gpubench_client.urls import ServerAddress

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

BUSY = (QueueFull, TooManyConnections)
"""Refusals that pass by themselves: the request is repeated, for as long as patience lasts."""

_TIMEOUT = Range(0.001, 86_400, "s")
_PATIENCE = Range(0, 86_400, "s")

_PROGRAM = f"gpubench/{gpubench.__version__}"


class ClientProtocol:
    """One server's requests, each as a generator. Run one to its end before the next.

    Connects for the first request, and again if the connection broke or the server closed it. A request that
    changes nothing is sent once more if it was on its way when an idle connection ended. A request that a
    busy server refused is repeated, and so is a ``repeatable`` one whose answer was lost, for
    ``patience_seconds`` in all; for a run, patience begins anew each time that it went on. Raises
    ``GpubenchError``: what the server answered, or ``Unreachable``. Its constructor raises
    ``InvalidParameters`` for a time that is out of its range, or an ``access`` that the address cannot take.
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        connect_timeout_seconds: float,
        answer_timeout_seconds: float,
        patience_seconds: float,
        on_retry: Callable[[GpubenchError, float], None],
        access: Access = NO_ACCESS,
    ) -> None:
        for name, value, allowed in (
            ("connect_timeout_seconds", connect_timeout_seconds, _TIMEOUT),
            ("answer_timeout_seconds", answer_timeout_seconds, _TIMEOUT),
            ("patience_seconds", patience_seconds, _PATIENCE),
        ):
            check_range(name, value, allowed)
        self._address = address
        self._tls = access.tls_for(address)
        self._hello = messages.HelloParams(client=_PROGRAM, token=access.token_for(address) or msgspec.UNSET)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._answer_timeout_seconds = answer_timeout_seconds
        self._patience_seconds = patience_seconds
        self._on_retry = on_retry
        self._exchange: Exchange | None = None

    def close(self) -> Steps[None]:
        self._exchange = None
        yield Close()

    def hello(self) -> Steps[messages.Hello]:
        return self._ask(Request("hello", self._hello))

    def ping(self) -> Steps[messages.Pong]:
        return self._ask(Request("ping"))

    def devices(self) -> Steps[messages.Devices]:
        return self._ask(Request("devices"))

    def benchmarks(self) -> Steps[Benchmarks]:
        return self._ask(Request("benchmarks"))

    def run(self, params: RunParams, callbacks: RunCallbacks) -> Steps[RunDocument]:
        return self._ask(Request("run", params, callbacks))

    def submit(self, params: RunParams) -> Steps[Accepted]:
        """Have a detached run accepted; its later events are nobody's, so the connection is closed."""
        answer = yield from self._ask(Request("run", params, until_accepted=True))
        if not isinstance(answer, Accepted):
            raise ProtocolError("the server answered a run that it had not accepted")
        return answer

    def cancel(self, run_id: str) -> Steps[messages.Cancelling]:
        return self._ask(Request("cancel", RunIdParams(run_id)))

    def status(self) -> Steps[messages.Status]:
        return self._ask(Request("status"))

    def result(self, run_id: str, callbacks: RunCallbacks) -> Steps[RunDocument]:
        return self._ask(Request("result", RunIdParams(run_id), callbacks))

    def results(self, limit: int, device: str | None) -> Steps[messages.Results]:
        return self._ask(Request("results", messages.ResultsParams(limit, device)))

    def history(self, params: messages.HistoryParams) -> Steps[History]:
        return self._ask(Request("history", params))

    def drain(self) -> Steps[messages.Draining]:
        return self._ask(Request("drain"))

    def _ask(self, request: Request) -> Steps[Any]:
        """Ask until there is an answer that does not pass by itself, or patience is over."""
        backoff: Backoff | None = None
        done_ratio = 0.0
        while True:
            passing: GpubenchError
            try:
                answer = yield from self._ask_once(request)
            except Unreachable as error:
                if not request.sent or not request.repeatable or not error.retryable:
                    raise
                passing = error
            else:
                if isinstance(answer, Accepted):
                    return answer
                if isinstance(answer, Result):
                    return answer.value
                if not isinstance(answer.error, BUSY) and not _waits_on(request, answer.error):
                    raise answer.error
                passing = answer.error
            if backoff is None or request.done_ratio > done_ratio:
                backoff, done_ratio = Backoff(self._patience_seconds), request.done_ratio
            wait_seconds = backoff.next_wait(_retry_after(passing))
            if wait_seconds is None:
                raise passing
            self._on_retry(passing, wait_seconds)
            yield from _pause(wait_seconds, request.callbacks.stop, passing)

    def _ask_once(self, request: Request) -> Steps[Result | Failure | Accepted]:
        if self._address.datagrams:
            return (yield from ask_by_datagram(self._address, request, self._connect_timeout_seconds))
        kept, exchange = self._exchange, None
        try:
            exchange, refusal = yield from self._connected()
            answer = refusal or (yield from exchange.ask(request))
        except GeneratorExit:  # the driver gave up, and can perform no further step
            self._exchange = None
            raise
        except BaseException:
            # An answer may still be on its way: this connection can take no further request.
            yield from self.close()
            # One that was idle may have been closed while the request was on its way. A new one says more.
            if exchange is None or exchange is not kept or not exchange.ended or request.method not in SAFE:
                raise
            answer, refusal = (yield from self._ask_once(request)), None
        if refusal or isinstance(answer, Accepted) or answer.request_id is None:
            yield from self.close()
        return answer

    def _connected(self) -> Steps[tuple[Exchange, Failure | None]]:
        """A connection whose hello was answered, and the server's refusal, if that was the answer."""
        if self._exchange is not None and (yield from self._exchange.is_usable()):
            return self._exchange, None
        try:
            yield Connect(self._address, self._connect_timeout_seconds, self._tls)
        except (OSError, UnicodeError) as error:  # the latter for a text that is no host name
            reason = getattr(error, "strerror", None) or str(error) or "timed out"
            raise Unreachable(
                f"no server answers at {self._address}: {reason}; start gpubench-server there, check the "
                "address, or leave the server out to measure on this machine"
            ) from None
        self._exchange = Exchange(self._address, self._answer_timeout_seconds)
        answer = yield from self._exchange.ask(Request("hello", self._hello))
        if isinstance(answer, Failure):
            return self._exchange, answer
        if isinstance(answer, Result) and answer.value.protocol != messages.PROTOCOL:
            raise ProtocolError(
                f"{self._address} speaks protocol {answer.value.protocol}, this client {messages.PROTOCOL}; "
                "update the older of the two"
            )
        return self._exchange, None


def _waits_on(request: Request, error: GpubenchError) -> bool:
    """Whether the run is executed once the server has been restarted, and is then found again."""
    return request.repeatable and isinstance(error, Draining) and "run_id" in error.details


def _retry_after(error: GpubenchError) -> float:
    """How many seconds the server asks to wait, 0 if it does not say."""
    seconds = error.details.get("retry_after_seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _pause(seconds: float, stop: StopRequest | None, passing: GpubenchError) -> Steps[None]:
    """Wait until it is time to get over ``passing``; raises an error if ``stop`` has a reason by then."""
    while seconds > 0:
        if stop is not None and stop.reason is not None:
            # A run whose connection broke may go on: it would be wrong to say that it was cancelled.
            raise stop.reason if isinstance(passing, BUSY) else passing
        seconds -= (yield Sleep(min(seconds, STOP_POLL_SECONDS))).waited_seconds
