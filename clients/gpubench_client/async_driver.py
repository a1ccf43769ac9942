"""The asyncio driver: performs the steps of the protocol by awaiting them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl

from gpubench_client import sockets
from gpubench_client.steps import (
    RECEIVE_BYTES,
    Close,
    Connect,
    Outcome,
    Question,
    Receive,
    Send,
    Sleep,
    Step,
    Steps,
    T,
)
from gpubench_client.tls import context_for, failure, server_name
from gpubench_client.urls import ServerAddress, SocketPath


class AsyncDriver:
    """Runs generators, one at a time, and holds the one connection that their steps are about."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._connect_step: Connect | None = None

    async def run(self, steps: Steps[T]) -> T:
        """Perform all steps of a generator, and return what it returns."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = await self._perform(step)
                except BaseException as error:  # cancellation too: the generator must close what it broke off
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _perform(self, step: Step) -> Outcome:
        try:
            return await self._do(step)
        except ssl.SSLError as error:
            if self._connect_step is None:
                raise
            connected = not isinstance(step, Connect)
            raise failure(error, self._connect_step, connected=connected) from None

    async def _do(self, step: Step) -> Outcome:
        match step:
            case Receive():
                return await self._receive(step.timeout_seconds)
            case Send():
                if self._writer is None:
                    raise OSError("not connected")
                self._writer.write(step.data)
                async with asyncio.timeout(step.timeout_seconds):
                    await self._writer.drain()
            case Sleep():
                await asyncio.sleep(step.seconds)
                return Outcome(step.seconds)
            case Connect():
                await self._connect(step)
            case Question():
                return await asyncio.to_thread(sockets.ask, step)
            case Close():
                await self._close()
        return Outcome()

    async def _connect(self, step: Connect) -> None:
        await self._close()
        self._connect_step = step
        context = context_for(step.tls) if step.tls else None
        try:
            async with asyncio.timeout(step.timeout_seconds):
                self._reader, self._writer = await _open(step.address, context)
        except ConnectionError as error:  # asyncio's text for each of them is "Connect call failed"
            if error.errno is None:  # the end of the stream within the handshake
                raise ssl.SSLEOFError from None
            raise type(error)(error.errno, os.strerror(error.errno)) from None

    async def _receive(self, timeout_seconds: float) -> Outcome:
        if self._reader is None:
            raise OSError("not connected")
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        data = await self._read(self._reader, timeout_seconds) if timeout_seconds else None
        if data is None:
            # What has come already, also while this process was stopped or its loop busy: one round of the
            # loop finds it, the next has it.
            for _ in range(2):
                await asyncio.sleep(0)
            data = await self._read(self._reader, 0.0)
        return Outcome(loop.time() - started_at, data)

    @staticmethod
    async def _read(reader: asyncio.StreamReader, timeout_seconds: float) -> bytes | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await reader.read(RECEIVE_BYTES)
        except TimeoutError:
            return None

    async def _close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            return
        # Not close(), which first waits until the peer has taken what was sent.
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _open(
    address: ServerAddress, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, SocketPath):
        return await asyncio.open_unix_connection(address.path, limit=RECEIVE_BYTES)
    return await asyncio.open_connection(
        address.host,
        address.port,
        limit=RECEIVE_BYTES,
        ssl=context,
        server_hostname=server_name(address) if context else None,
    )
