"""The client of a gpubench server, for programs that can wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec

import gpubench
from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import GpubenchError, ProtocolError, QueueFull, TooManyConnections
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.protocol.messages import Accepted, RunParams
from gpubench.protocol.session import Failure, Result
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.progress import Progress
from gpubench_client.backend import ignore, requests
from gpubench_client.backoff import Backoff
from gpubench_client.connection import Listener, ServerConnection
from gpubench_client.urls import parse_url

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

BUSY = (QueueFull, TooManyConnections)
"""What passes by itself: these are asked again, for as long as patience lasts."""

_STOP_POLL_SECONDS = 0.1
_HELLO = messages.HelloParams(client=f"gpubench/{gpubench.__version__}")
_NOBODY = Listener()


class Client:
    """A server at ``tcp://host[:port]``; connects when first asked something, and again after a break.

    Use it from one thread. Every method raises ``gpubench.errors.GpubenchError``: what the server
    answered, or ``Unreachable``. A busy server is asked again for ``patience_seconds`` in all;
    ``on_retry`` is told why, and for how many seconds it waits.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_seconds: float = 5.0,
        answer_timeout_seconds: float = 60.0,
        patience_seconds: float = 30.0,
        on_retry: Callable[[GpubenchError, float], None] = lambda error, seconds: None,
    ) -> None:
        self._address = parse_url(url)
        self._connect_timeout_seconds = connect_timeout_seconds
        # Servers tell a run's progress every half second, so this is also how long a run may be silent.
        self._answer_timeout_seconds = answer_timeout_seconds
        self._patience_seconds = patience_seconds
        self._on_retry = on_retry
        self._connection: ServerConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closing cancels this connection's runs that are not detached."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def hello(self) -> messages.Hello:
        """What the server is, its features, limits and devices."""
        answer: messages.Hello = self._ask("hello", _HELLO)
        return answer

    def ping(self) -> messages.Pong:
        answer: messages.Pong = self._ask("ping")
        return answer

    def devices(self) -> messages.Devices:
        answer: messages.Devices = self._ask("devices")
        return answer

    def benchmarks(self) -> Benchmarks:
        """All benchmarks and suites, with the JSON Schema of each one's parameters."""
        answer: Benchmarks = self._ask("benchmarks")
        return answer

    def run(
        self,
        benchmarks: str | Sequence[BenchmarkRequest | str],
        *,
        device: str | None = None,
        key: str | None = None,
        deadline_seconds: float | None = None,
        detach: bool = False,
        memory: StatedMemory | None = None,
        on_accepted: Callable[[Accepted], None] = ignore,
        on_progress: Callable[[Progress], None] = ignore,
        stop: StopRequest | None = None,
    ) -> RunDocument:
        """Run benchmarks or suites and wait for the document.

        A run that did not end well raises what became of it, with what was finished in its
        ``document``. The same ``key`` again gives the same run, not another. Once
        ``stop`` has a reason the run is cancelled. A run with ``detach`` goes on without us;
        ``result`` fetches it later.
        """
        params = RunParams(requests(benchmarks), device, key, deadline_seconds, detach, memory)
        document: RunDocument = self._ask("run", params, Listener(on_accepted, on_progress, stop))
        return document

    def submit(
        self,
        benchmarks: str | Sequence[BenchmarkRequest | str],
        *,
        device: str | None = None,
        key: str | None = None,
        deadline_seconds: float | None = None,
        memory: StatedMemory | None = None,
    ) -> Accepted:
        """Give the server a run and leave it there; ``result`` fetches its document by ``run_id``."""
        params = RunParams(requests(benchmarks), device, key, deadline_seconds, True, memory)
        try:
            self._ask("run", params, Listener(on_accepted=_leave))
        except _Left as left:
            return left.accepted
        raise ProtocolError("the server answered a run that it had not accepted")

    def cancel(self, run_id: str) -> messages.Cancelling:
        answer: messages.Cancelling = self._ask("cancel", messages.RunIdParams(run_id))
        return answer

    def status(self) -> messages.Status:
        answer: messages.Status = self._ask("status")
        return answer

    def result(self, run_id: str) -> RunDocument:
        """The document of a run that has ended; raises ``NoSuchRun``."""
        document: RunDocument = self._ask("result", messages.RunIdParams(run_id))
        return document

    def results(self, limit: int = 20, device: str | None = None) -> messages.Results:
        """The latest runs, newest first."""
        answer: messages.Results = self._ask("results", messages.ResultsParams(limit, device))
        return answer

    def _ask(
        self,
        method: messages.Method,
        params: msgspec.Struct | None = None,
        listener: Listener = _NOBODY,
    ) -> Any:
        backoff = Backoff(self._patience_seconds)
        while True:
            answer = self._exchange(method, params, listener)
            if isinstance(answer, Result):
                return answer.value
            wait = backoff.next_wait(_asked_seconds(answer.error)) if isinstance(answer.error, BUSY) else None
            if wait is None:
                raise answer.error
            self._on_retry(answer.error, wait)
            _pause(wait, listener.stop)

    def _exchange(
        self, method: messages.Method, params: msgspec.Struct | None, listener: Listener
    ) -> Result | Failure:
        try:
            connection, refusal = self._connected()
            answer = refusal or connection.ask(method, params, listener)
        except BaseException:
            # An answer may still be on its way: this connection can take no further request.
            self.close()
            raise
        if refusal or answer.request_id is None:
            self.close()
        return answer

    def _connected(self) -> tuple[ServerConnection, Failure | None]:
        """A connection that was greeted, and what the server had against it."""
        if self._connection is not None and self._connection.usable():
            return self._connection, None
        self.close()
        self._connection = ServerConnection(
            self._address, self._connect_timeout_seconds, self._answer_timeout_seconds
        )
        answer = self._connection.ask("hello", _HELLO, _NOBODY)
        if isinstance(answer, Failure):
            return self._connection, answer
        if answer.value.protocol != messages.PROTOCOL:
            raise ProtocolError(
                f"{self._address} speaks protocol {answer.value.protocol}, this client {messages.PROTOCOL}; "
                "update the older of the two"
            )
        return self._connection, None


def _asked_seconds(error: GpubenchError) -> float:
    asked = error.details.get("retry_after_seconds")
    return float(asked) if isinstance(asked, int | float) else 0.0


def _pause(seconds: float, stop: StopRequest | None) -> None:
    """Wait, unless there is a reason to stop, which is raised."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if stop is not None and stop.reason is not None:
            raise stop.reason
        time.sleep(min(left, _STOP_POLL_SECONDS))


class _Left(Exception):
    """Raised to leave a run alone once it was accepted; the connection is closed on the way."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__()
        self.accepted = accepted


def _leave(accepted: Accepted) -> None:
    raise _Left(accepted)
