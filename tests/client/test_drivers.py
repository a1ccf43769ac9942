"""What the two drivers do with a socket while their process, or their loop, has no time to look at it."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable

from gpubench_client.async_driver import AsyncDriver
from gpubench_client.blocking import BlockingDriver
from gpubench_client.steps import Close, Connect, Receive, Step, Steps
from gpubench_client.urls import Address

from tests.running import PATIENCE_SECONDS


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


def with_peer(work: Callable[[AsyncDriver, socket.socket], Awaitable[None]]) -> None:
    """Do ``work`` with a driver in a loop, and the other end of its connection."""

    async def connected() -> None:
        driver = AsyncDriver()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            await driver.run(step(Connect(Address(host, port), PATIENCE_SECONDS)))
            peer, _ = listener.accept()
            with peer:
                await work(driver, peer)
            await driver.run(step(Close()))

    asyncio.run(asyncio.wait_for(connected(), PATIENCE_SECONDS))


def step(wanted: Step) -> Steps[bytes | None]:
    return (yield wanted).data


def test_an_end_while_the_loop_was_busy_is_seen() -> None:
    """Or the next request would be lost."""

    async def work(driver: AsyncDriver, peer: socket.socket) -> None:
        assert await driver.run(step(Receive(0.0))) is None
        peer.sendall(b"x")
        peer.close()
        assert await driver.run(step(Receive(0.0))) == b"x"
        assert await driver.run(step(Receive(0.0))) == b""

    with_peer(work)


def test_bytes_that_came_while_the_loop_was_busy_are_found() -> None:
    async def work(driver: AsyncDriver, peer: socket.socket) -> None:
        def busy() -> None:
            peer.sendall(b"data")
            time.sleep(0.3)  # past the time-out

        asyncio.get_running_loop().call_later(0.05, busy)
        assert await driver.run(step(Receive(0.2))) == b"data"

    with_peer(work)
