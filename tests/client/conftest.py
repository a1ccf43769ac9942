"""One server for all tests of this folder: each must leave it idle and working; and both clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import pytest
from gpubench_client import AsyncClient, Client

from tests.running import PATIENCE_SECONDS, RunningServer

Connect: TypeAlias = Callable[..., Client]
"""Makes a client, with the arguments of ``Client``."""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="package")
def url(server: RunningServer) -> str:
    return url_of(server)


def url_of(server: RunningServer) -> str:
    host, port = server.tcp
    return f"tcp://{host}:{port}"


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """``Client``, and ``AsyncClient`` behind the same methods: what a test asks of one holds for both."""
    if request.param == "blocking":
        yield Client
        return
    with contextlib.ExitStack() as loops:
        yield cast(Connect, lambda *arguments, **options: InALoop(loops, AsyncClient(*arguments, **options)))


class InALoop:
    """An ``AsyncClient`` with the methods of ``Client``, in the event loop of a thread of its own."""

    def __init__(self, loops: contextlib.ExitStack, client: AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        loops.callback(self._loop.close)
        loops.callback(thread.join)
        loops.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        loops.callback(self.close)

    def __enter__(self) -> InALoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            work = asyncio.run_coroutine_threadsafe(method(*arguments, **options), self._loop)
            return work.result(PATIENCE_SECONDS)

        return call
