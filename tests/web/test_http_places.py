"""Who gets a place on the HTTP port, and what becomes of those who lose theirs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.security import TlsFiles
from gpubench_server.tls import Tls
from gpubench_server.web.gate import Gate, Gates
from gpubench_server.web.http_places import SPARED_SECONDS, HttpPlaces, Place
from gpubench_server.web.tls_port import TlsPort

from tests.certificates import Authority
from tests.running import PATIENCE_SECONDS

HERE, THERE, ELSEWHERE = "127.0.0.1", "192.0.2.1", "192.0.2.2"


class Port:
    """Four places; each client has its number, and time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.places = HttpPlaces(4, lambda: self.now)
        self.lost: list[int] = []

    def come(self, host: str, number: int) -> Place | None:
        return self.places.take(host, lambda: self.lost.append(number))

    def admitted(self, host: str, *numbers: int) -> list[Place]:
        places = [self.come(host, number) for number in numbers]
        self.now += SPARED_SECONDS
        assert all(places)
        return [place for place in places if place]


def test_the_oldest_new_client_makes_room() -> None:
    port = Port()
    first, *_ = port.admitted(HERE, 1, 2, 3, 4)
    first.is_new = False
    assert port.come(HERE, 5)
    assert port.lost == [2]


def test_a_client_that_is_served_makes_no_room() -> None:
    port = Port()
    for place in port.admitted(HERE, 1, 2, 3, 4):
        place.is_new = False
    assert port.come(HERE, 5) is None
    assert port.lost == []


def test_a_client_that_came_a_moment_ago_makes_no_room() -> None:
    port = Port()
    port.admitted(HERE, 1)
    assert all(port.come(HERE, number) for number in (2, 3, 4, 5))
    assert port.come(HERE, 6) is None
    port.now += SPARED_SECONDS
    assert port.come(HERE, 7)
    assert port.lost == [1, 2]


def test_an_address_beyond_its_share_takes_only_its_own() -> None:
    port = Port()
    port.admitted(ELSEWHERE, 1)
    port.admitted(THERE, 2, 3)
    port.admitted(THERE, 4)
    assert port.lost == [2]
    port.admitted(HERE, 5, 6)
    assert port.lost == [2, 1]


def test_an_address_whose_share_is_served_is_refused() -> None:
    port = Port()
    port.admitted(ELSEWHERE, 1)
    for place in port.admitted(THERE, 2, 3):
        place.is_new = False
    assert port.come(THERE, 4) is None
    assert port.lost == []


def test_a_place_that_was_released_is_free() -> None:
    port = Port()
    first, *_ = port.admitted(HERE, 1, 2, 3, 4)
    for _ in range(2):
        port.places.release(first)
    assert port.come(HERE, 5)
    assert port.lost == []
    assert port.come(HERE, 6)
    assert port.lost == [2]


# What becomes of connections.


def run(scenario: Callable[[Gates], Awaitable[None]]) -> None:
    async def bounded() -> None:
        gates = Gates(Limits(http_connections=1, http_deadline_seconds=60), "tcp://HOST", MetricsState())
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await scenario(gates)

    asyncio.run(bounded())


def serves_nothing() -> asyncio.Protocol:
    raise AssertionError("a request was passed on")


def test_a_client_that_has_left_makes_room_without_an_error() -> None:
    """The server has not noticed yet, and sends it the reason all the same."""

    async def scenario(gates: Gates) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((HERE, 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            gate = Gate(gates, serves_nothing)
            await loop.connect_accepted_socket(lambda: gate, listener.accept()[0])
        await asyncio.sleep(SPARED_SECONDS)
        client.close()
        assert gates.places.take(HERE, client.close)
        assert gate not in gates.admitted
        while gate in gates.refused:
            await asyncio.sleep(0.01)

    run(scenario)


def test_a_place_lost_as_the_handshake_ends_closes(authority: Authority) -> None:
    """It must not wait for a goodbye of the client, which holds its end open."""
    issued = authority.issue("late")
    files = TlsFiles(issued.certificate, issued.key, None)

    class LosesItsPlace(Gate):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            for task in port._shaking:
                asyncio.get_running_loop().call_soon(task.cancel)

    def shake_hands(address: tuple[str, int]) -> bytes:
        """What comes after the handshake, as long as the server holds the connection."""
        with socket.create_connection(address, PATIENCE_SECONDS) as raw:
            encrypted = authority.context.wrap_socket(raw, server_hostname="localhost")
            with socket.socket(fileno=encrypted.detach()) as left:
                left.settimeout(PATIENCE_SECONDS)
                came = b""
                while part := left.recv(4096):
                    came += part
                return came

    async def scenario(gates: Gates) -> None:
        nonlocal port
        with socket.create_server((HERE, 0)) as listener:
            port = TlsPort(listener, "https://HOST", Tls(files), gates, lambda place: gate_at(gates, place))
            accepting = asyncio.create_task(port.accept_forever())
            try:
                await asyncio.to_thread(shake_hands, listener.getsockname())
            except (ConnectionResetError, ssl.SSLError):
                pass  # which is an end as well
            finally:
                accepting.cancel()
        assert not gates.admitted

    def gate_at(gates: Gates, place: Place) -> Gate:
        return LosesItsPlace(gates, serves_nothing, place)

    port: TlsPort
    run(scenario)
