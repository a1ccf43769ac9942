"""The client's generators: driven by asyncio against a real server, and step by step without any I/O."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import msgspec
import pytest
from gpubench_client.backend import RunCallbacks, as_requests
from gpubench_client.backoff import LONGEST_SECONDS
from gpubench_client.blocking import BlockingDriver
from gpubench_client.generators import (
    STOP_POLL_SECONDS,
    ClientProtocol,
    Close,
    Connect,
    Outcome,
    Receive,
    Send,
    Sleep,
    Step,
    Steps,
    T,
)
from gpubench_client.urls import parse_url

from gpubench import errors
from gpubench.executor.supervisor import StopRequest
from gpubench.protocol.messages import PROTOCOL, Accepted, RunParams
from gpubench.requests import BenchmarkRequest
from gpubench.results.progress import Progress
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within


class AsyncDriver:
    """All that an asynchronous client adds to the generators."""

    socket: socket.socket | None = None

    async def run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    outcome = await self.perform(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def perform(self, step: Step) -> Outcome:
        loop, data = asyncio.get_running_loop(), None
        started_at = loop.time()
        match step:
            case Connect():
                self.socket = socket.socket()
                self.socket.setblocking(False)
                async with asyncio.timeout(step.timeout_seconds):
                    await loop.sock_connect(self.socket, (step.host, step.port))
            case Send():
                assert self.socket
                await loop.sock_sendall(self.socket, step.data)
            case Receive():
                assert self.socket
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(step.timeout_seconds):
                        data = await loop.sock_recv(self.socket, 1 << 16)
            case Sleep():
                await asyncio.sleep(step.seconds)
            case Close() if self.socket:
                self.socket.close()
        return Outcome(loop.time() - started_at, data)


def protocol(url: str, patience_seconds: float = 30.0, on_retry: Any = lambda *_: None) -> ClientProtocol:
    return ClientProtocol(
        parse_url(url),
        connect_timeout_seconds=5.0,
        answer_timeout_seconds=60.0,
        patience_seconds=patience_seconds,
        on_retry=on_retry,
    )


def params(*benchmarks: dict[str, Any]) -> RunParams:
    return RunParams(as_requests([BenchmarkRequest(**each) for each in benchmarks]))


def run_async(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS))


def test_asyncio_runs_several_clients_in_one_thread(url: str) -> None:
    """A run, and requests of another client that are answered while it goes on."""
    measuring = asyncio.Event()
    progress: list[Progress] = []

    def follow(event: Progress) -> None:
        progress.append(event)
        if event.phase == "measuring":
            measuring.set()

    async def work() -> None:
        first, second = protocol(url), protocol(url)
        driver, other = AsyncDriver(), AsyncDriver()
        run = asyncio.create_task(driver.run(first.run(params(quick()), RunCallbacks(on_progress=follow))))
        await measuring.wait()
        assert (await other.run(second.hello())).protocol == PROTOCOL
        assert not run.done()
        document = await run
        assert document.outcome == "ok"
        assert await other.run(second.result(document.run_id)) == document
        accepted = await other.run(second.submit(params(quick())))
        assert (await other.run(second.cancel(accepted.run_id))).run_id == accepted.run_id
        with pytest.raises(errors.NoSuchRun):
            await other.run(second.result("nope"))
        for each, its in ((driver, first), (other, second)):
            await each.run(its.close())

    run_async(work())
    assert {each.benchmark for each in progress} >= {"triad"}


def test_asyncio_cancels_on_a_stop_request(url: str) -> None:
    stop = StopRequest()
    client, driver = protocol(url), AsyncDriver()

    async def work() -> None:
        callbacks = RunCallbacks(lambda _: stop.set(errors.Cancelled("enough")), stop=stop)
        with pytest.raises(errors.Cancelled) as caught:
            await driver.run(client.run(params(long()), callbacks))
        assert caught.value.details["document"].outcome == "cancelled"
        assert (await driver.run(client.ping())).pong  # on the same connection
        await driver.run(client.close())

    run_async(work())


def test_a_cancelled_task_closes_the_connection(server: RunningServer, url: str) -> None:
    """And by that the server cancels the run."""
    client, driver = protocol(url), AsyncDriver()
    accepted = asyncio.Event()

    async def work() -> None:
        callbacks = RunCallbacks(lambda _: accepted.set())
        run = asyncio.create_task(driver.run(client.run(params(long()), callbacks)))
        await accepted.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert driver.socket is not None
        assert driver.socket.fileno() == -1

    run_async(work())
    assert within(10, lambda: server.running() is None)


HELLO = {
    "protocol": PROTOCOL,
    "server": "1",
    "features": [],
    "devices": [],
    "limits": {
        "max_request_bytes": 1,
        "line_deadline_seconds": 1,
        "idle_seconds": 1,
        "max_connections": 1,
        "max_queue_length": 1,
        "max_run_seconds": 1,
        "max_memory_share_ratio": 1,
        "max_runs_per_connection": 1,
    },
}


def line(**message: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n"


def steps_of(steps: Steps[Any], *received: bytes | None) -> Iterator[Step]:
    """The steps, each performed in no time: a wait lasts as long as asked, and bytes come as listed."""
    data = iter(received)
    step = next(steps)
    while True:
        yield step
        match step:
            case Receive():
                chunk = next(data, None)
                outcome = Outcome(0.0 if chunk is not None else step.timeout_seconds, chunk)
            case Sleep():
                outcome = Outcome(step.seconds)
            case _:
                outcome = Outcome()
        try:
            step = steps.send(outcome)
        except StopIteration:
            return


def kinds(steps: list[Step]) -> list[type[Step]]:
    return [type(step) for step in steps]


def test_the_first_request_connects_and_says_hello() -> None:
    client = protocol("tcp://host:1")
    first = list(steps_of(client.ping(), line(id=1, result=HELLO), line(id=2, result={"pong": True})))
    assert kinds(first) == [Connect, Send, Receive, Send, Receive]
    again = list(steps_of(client.ping(), None, line(id=3, result={"pong": True})))
    assert kinds(again) == [Receive, Send, Receive]
    assert again[0] == Receive(0.0)


def test_an_idle_connection_that_ended_is_replaced() -> None:
    client = protocol("tcp://host:1")
    list(steps_of(client.ping(), line(id=1, result=HELLO), line(id=2, result={"pong": True})))
    answers = (b"", line(id=1, result=HELLO), line(id=2, result={"pong": True}))
    assert kinds(list(steps_of(client.ping(), *answers))) == [Receive, Connect, Send, Receive, Send, Receive]


def test_silence_is_an_error_after_the_answer_timeout() -> None:
    steps = steps_of(protocol("tcp://host:1").ping())
    taken: list[Step] = []
    with pytest.raises(errors.Unreachable, match="sent nothing for 60 s"):
        taken.extend(steps)  # keeps what came before the exception
    assert kinds(taken) == [Connect, Send, Receive, Close]
    assert taken[2] == Receive(60.0)


def test_a_stop_request_is_polled_while_waiting() -> None:
    stop = StopRequest()
    run = protocol("tcp://host:1").run(params(long()), RunCallbacks(stop=stop))
    accepted = line(method="accepted", params=msgspec.to_builtins(Accepted(2, "r", 0)))
    steps = steps_of(run, line(id=1, result=HELLO), accepted)
    assert kinds([next(steps) for _ in range(5)]) == [Connect, Send, Receive, Send, Receive]
    assert [next(steps) for _ in range(3)] == [Receive(STOP_POLL_SECONDS)] * 3
    stop.set(errors.Cancelled("enough"))
    cancel = next(steps)
    assert isinstance(cancel, Send)
    assert msgspec.json.decode(cancel.data)["method"] == "cancel"
    assert next(steps) == Receive(60.0)  # nothing to look at any more
    run.close()


def test_time_in_which_the_client_was_stopped_is_no_silence_of_the_server() -> None:
    run = protocol("tcp://host:1").run(params(long()), RunCallbacks(stop=StopRequest()))
    accepted = line(method="accepted", params=msgspec.to_builtins(Accepted(2, "r", 0)))
    steps = steps_of(run, line(id=1, result=HELLO), accepted)
    assert [next(steps) for _ in range(6)][-1] == Receive(STOP_POLL_SECONDS)
    assert run.send(Outcome(600.0, None)) == Receive(STOP_POLL_SECONDS)
    run.close()


def test_bytes_that_came_while_the_client_was_stopped_are_found() -> None:
    ours, theirs = socket.socketpair()
    driver = BlockingDriver()
    driver._socket = ours

    def stopped(number: int, frame: object) -> None:
        theirs.sendall(b"data")
        time.sleep(0.3)  # what ^Z is for this process: a handler that returns after the time-out

    before = signal.signal(signal.SIGALRM, stopped)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        outcome = driver._perform(Receive(0.2))
    finally:
        signal.signal(signal.SIGALRM, before)
        ours.close()
        theirs.close()
    assert outcome.data == b"data"


def test_a_busy_server_is_asked_until_patience_ends() -> None:
    refused: list[float] = []
    client = protocol("tcp://host:1", 100.0, lambda error, seconds: refused.append(seconds))
    error = {"code": -32012, "message": "full", "data": {"kind": "too_many_connections"}}
    taken: list[Step] = []
    with pytest.raises(errors.TooManyConnections):
        taken.extend(steps_of(client.ping(), *[line(id=None, error=error)] * 1000))
    slept = sum(step.seconds for step in taken if isinstance(step, Sleep))
    assert slept == pytest.approx(sum(refused))
    assert 100.0 - LONGEST_SECONDS < slept <= 100.0
    connections = kinds(taken).count(Connect)
    assert connections == kinds(taken).count(Close) == len(refused) + 1  # none is held while waiting


def test_a_driver_that_gives_up_leaves_no_connection() -> None:
    client = protocol("tcp://host:1")
    abandoned = client.ping()
    taken = steps_of(abandoned, line(id=1, result=HELLO))
    assert kinds([next(taken) for _ in range(4)])[-1] is Send
    abandoned.close()
    assert isinstance(next(client.ping()), Connect)
