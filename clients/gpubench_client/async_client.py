"""The client of a gpubench server for asyncio: the requests of ``Client``, as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, NamedTuple, Self, TypeAlias, Unpack

from gpubench.benchmarks.description import Benchmarks
from gpubench.errors import Cancelled, GpubenchError
from gpubench.library import RunDocument
from gpubench.protocol import messages
from gpubench.results.history import History
from gpubench.results.progress import Progress
from gpubench_client.access import Access
from gpubench_client.async_driver import AsyncDriver
from gpubench_client.backend import (
    BenchmarkNames,
    RunCallbacks,
    RunOptions,
    SubmitOptions,
    ignore,
    run_params,
    split_options,
)
from gpubench_client.generators import ClientProtocol
from gpubench_client.steps import Steps, T
from gpubench_client.urls import parse_url

RunEvent: TypeAlias = messages.Accepted | Progress | RunDocument
"""An event of a run; its document is the last."""


class AsyncClient:
    """``Client`` for asyncio: the same methods, options and errors.

    Use it in one event loop, by any number of tasks: each request that is made while others wait has a
    connection of its own. If a task is cancelled while it waits for a run, its connection is closed,
    and so the server cancels the run, unless it is detached. The callbacks are called in the loop's thread
    and must not wait; ``stream`` and ``watch`` give the same events to an ``async for``.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_seconds: float = 5.0,
        answer_timeout_seconds: float = 60.0,
        patience_seconds: float = 30.0,
        on_retry: Callable[[GpubenchError, float], None] = lambda error, seconds: None,
        token: str | None = None,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        self._new_protocol = partial(
            ClientProtocol,
            parse_url(url),
            connect_timeout_seconds=connect_timeout_seconds,
            answer_timeout_seconds=answer_timeout_seconds,
            patience_seconds=patience_seconds,
            on_retry=on_retry,
            access=Access(token, ca_file, cert_file, key_file),
        )
        # The first is made here, so that an error in the options is raised here.
        self._idle = [_Connection(AsyncDriver(), self._new_protocol())]
        self._waiting: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, which cancels their runs that are not detached.

        A request that waits raises ``Cancelled``.
        """
        waiting, self._waiting = self._waiting, set()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for connection in self._idle:
            await connection.driver.run(connection.protocol.close())

    async def hello(self) -> messages.Hello:
        """The server's version, features, limits and devices."""
        return await self._ask(ClientProtocol.hello)

    async def ping(self) -> messages.Pong:
        return await self._ask(ClientProtocol.ping)

    async def devices(self) -> messages.Devices:
        return await self._ask(ClientProtocol.devices)

    async def benchmarks(self) -> Benchmarks:
        """All benchmarks and suites, with the JSON Schema of each one's parameters."""
        return await self._ask(ClientProtocol.benchmarks)

    async def run(
        self, benchmarks: BenchmarkNames, *, detach: bool = False, **options: Unpack[RunOptions]
    ) -> RunDocument:
        """As ``Client.run``."""
        params, callbacks = split_options(benchmarks, options, detach=detach)
        return await self._ask(lambda protocol: protocol.run(params, callbacks))

    async def submit(self, benchmarks: BenchmarkNames, **options: Unpack[SubmitOptions]) -> messages.Accepted:
        """Leave a run to the server; ``result`` and ``watch`` take its ``run_id``."""
        params = run_params(benchmarks, options, detach=True)
        return await self._ask(lambda protocol: protocol.submit(params))

    async def cancel(self, run_id: str) -> messages.Cancelling:
        return await self._ask(lambda protocol: protocol.cancel(run_id))

    async def status(self) -> messages.Status:
        return await self._ask(ClientProtocol.status)

    async def result(self, run_id: str, on_progress: Callable[[Progress], None] = ignore) -> RunDocument:
        """As ``Client.result``: waits for the run's end if that is still to come."""
        callbacks = RunCallbacks(on_progress=on_progress)
        return await self._ask(lambda protocol: protocol.result(run_id, callbacks))

    async def results(self, limit: int = 20, device: str | None = None) -> messages.Results:
        """The latest runs, newest first."""
        return await self._ask(lambda protocol: protocol.results(limit, device))

    async def history(
        self,
        device: str | None = None,
        benchmark: str | None = None,
        since: str | None = None,
        limit: int = 1000,
    ) -> History:
        """As ``Client.history``."""
        params = messages.HistoryParams(device, benchmark, since, limit)
        return await self._ask(lambda protocol: protocol.history(params))

    async def drain(self) -> messages.Draining:
        """As ``Client.drain``."""
        return await self._ask(ClientProtocol.drain)

    def stream(
        self, benchmarks: BenchmarkNames, *, detach: bool = False, **options: Unpack[SubmitOptions]
    ) -> AsyncGenerator[RunEvent, None]:
        """``run`` as an iterator: its ``Accepted``, each ``Progress``, and last its document.

        Raises what ``run`` raises. Whoever leaves the loop early cancels the run, unless it is detached.
        """
        params = run_params(benchmarks, options, detach=detach)
        return self._events(lambda protocol, callbacks: protocol.run(params, callbacks))

    def watch(self, run_id: str) -> AsyncGenerator[RunEvent, None]:
        """``result`` as an iterator: each ``Progress`` from now on, and last the run's document."""
        return self._events(lambda protocol, callbacks: protocol.result(run_id, callbacks))

    async def _ask(self, request: Callable[[ClientProtocol], Steps[T]]) -> T:
        connection = self._idle.pop() if self._idle else _Connection(AsyncDriver(), self._new_protocol())
        task = asyncio.create_task(connection.driver.run(request(connection.protocol)))
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task in self._waiting or (caller and caller.cancelling()):
                raise
            raise Cancelled("the client was closed while this request waited for its answer") from None
        finally:
            self._waiting.discard(task)
            self._idle.append(connection)

    async def _events(
        self, request: Callable[[ClientProtocol, RunCallbacks], Steps[RunDocument]]
    ) -> AsyncGenerator[RunEvent, None]:
        events: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        callbacks = RunCallbacks(on_accepted=events.put_nowait, on_progress=events.put_nowait)
        waiting = asyncio.create_task(self._ask(lambda protocol: request(protocol, callbacks)))
        waiting.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield await waiting
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


class _Connection(NamedTuple):
    driver: AsyncDriver
    protocol: ClientProtocol
