"""What only the asyncio client has; what both clients have is in the other tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from gpubench_client import AsyncClient, BenchmarkRequest, Client

from gpubench import errors
from gpubench.protocol.messages import Accepted
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within

QUICK, LONG = [BenchmarkRequest(**quick())], [BenchmarkRequest(**long())]

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS))


def methods(of: type) -> dict[str, list[str]]:
    """The public methods and their parameters."""
    found = inspect.getmembers(of, inspect.isfunction)
    return {name: list(inspect.signature(each).parameters) for name, each in found if name[0] != "_"}


def test_it_has_the_methods_of_the_other_client() -> None:
    """But for ``stopped``: around a stop of its process there is nothing to do."""
    expected = methods(Client)
    del expected["stopped"]
    assert {name: methods(AsyncClient).get(name) for name in expected} == expected
    assert all(inspect.iscoroutinefunction(getattr(AsyncClient, name)) for name in expected)
    assert list(inspect.signature(AsyncClient).parameters) == list(inspect.signature(Client).parameters)


def test_requests_are_answered_while_others_wait(url: str) -> None:
    measuring = asyncio.Event()

    def follow(progress: Progress) -> None:
        if progress.phase == "measuring":
            measuring.set()

    async def work() -> None:
        async with AsyncClient(url) as client:
            run = asyncio.create_task(client.run(LONG, on_progress=follow))
            await measuring.wait()
            status, _, results = await asyncio.gather(client.status(), client.ping(), client.results())
            (queue,) = status.queues
            assert queue.running == results.runs[0].run_id
            assert not run.done()
            assert (await client.cancel(queue.running)).cancelled
            with pytest.raises(errors.Cancelled):
                await run

    in_a_loop(work())


def test_a_cancelled_task_cancels_its_run(server: RunningServer, url: str) -> None:
    async def work() -> None:
        accepted = asyncio.Event()
        async with AsyncClient(url) as client:
            run = asyncio.create_task(client.run(LONG, on_accepted=lambda _: accepted.set()))
            await accepted.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert (await client.ping()).pong
            assert await asyncio.to_thread(within, 10, lambda: server.running() is None)

    in_a_loop(work())


def test_the_events_of_a_run(url: str) -> None:
    async def work() -> None:
        async with AsyncClient(url) as client:
            events = [event async for event in client.stream(QUICK)]
            document = events[-1]
            assert isinstance(document, RunDocument)
            assert document == await client.result(document.run_id)
            assert isinstance(events[0], Accepted)
            assert events[0].run_id == document.run_id
            assert {type(event) for event in events[1:-1]} == {Progress}

    in_a_loop(work())


def test_who_leaves_the_events_of_a_run_cancels_it(server: RunningServer, url: str) -> None:
    async def work() -> None:
        async with AsyncClient(url) as client:
            async for event in client.stream(LONG):
                if isinstance(event, Progress) and event.phase == "measuring":
                    break
            assert await asyncio.to_thread(within, 10, lambda: server.running() is None)

    in_a_loop(work())


def test_who_leaves_the_events_of_a_detached_run_leaves_it_alone(server: RunningServer, url: str) -> None:
    async def work() -> None:
        async with AsyncClient(url) as client:
            run_id = (await client.submit(LONG)).run_id
            async with contextlib.aclosing(client.watch(run_id)) as events:
                async for event in events:
                    assert isinstance(event, Progress)
                    if event.phase == "measuring":
                        break
            assert server.running() == run_id
            await client.cancel(run_id)
            *_, document = [event async for event in client.watch(run_id)]
            assert isinstance(document, RunDocument)
            assert document.outcome == "cancelled"

    in_a_loop(work())


def test_events_end_with_the_error_of_the_request(url: str) -> None:
    async def work() -> None:
        async with AsyncClient(url) as client:
            with pytest.raises(errors.UnknownBenchmark):
                async for _ in client.stream("nope"):
                    pass
            with pytest.raises(errors.NoSuchRun):
                async for _ in client.watch("nope"):
                    pass
            with pytest.raises(TypeError, match="devcie"):
                client.stream("triad", devcie="x")  # type: ignore[call-arg]

    in_a_loop(work())


def test_closing_ends_what_waits(server: RunningServer, url: str) -> None:
    async def work() -> None:
        accepted = asyncio.Event()
        async with AsyncClient(url) as client:
            run = asyncio.create_task(client.run(LONG, on_accepted=lambda _: accepted.set()))
            await accepted.wait()
        with pytest.raises(errors.Cancelled, match="the client was closed"):
            await run
        assert await asyncio.to_thread(within, 10, lambda: server.running() is None)

    in_a_loop(work())
