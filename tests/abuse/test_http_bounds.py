"""What the HTTP port bounds: connections, requests and responses, each on a server of its own limits."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.running import MIB, PATIENCE_SECONDS, RunningServer, address_bytes, limited, quick, within
from tests.server.test_exposure import own_address

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
REPLACED = 'gpubench_connections_rejected_total{reason="replaced"}'


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data: Path = tmp_path_factory.mktemp("data")
    with RunningServer(data, http_connections=2, http_deadline_seconds=60, linger_seconds=60) as server:
        yield server


def opened(server: RunningServer) -> socket.socket:
    return socket.create_connection(server.http, PATIENCE_SECONDS)


def said(client: socket.socket) -> bytes:
    """All that the server sends until it closes."""
    with client.makefile("rb") as reader:
        return reader.read()


def is_alive(server: RunningServer) -> bool:
    return server.get("/healthz") == (200, "alive\n")


def answered(clients: Sequence[socket.socket]) -> int:
    """How many have got something."""
    return len(select.select(clients, [], [], 0)[0])


def test_a_silent_client_makes_room_and_hears_why(small: RunningServer) -> None:
    """The one that has been silent for longest; the other keeps its place and gets its page."""
    with opened(small) as first, opened(small) as second:
        first.sendall(b"G")  # the beginning of a request is none
        second.sendall(b"G")
        assert within(PATIENCE_SECONDS, lambda: is_alive(small))
        answer = said(first)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"no request had come on this one" in answer
        second.sendall(GET.removeprefix(b"G"))
        assert b"gpubench_build_info" in said(second)
    replaced = small.metric(REPLACED)
    assert replaced is not None
    assert replaced >= 1


def test_a_client_that_is_served_keeps_its_place(tmp_path: Path) -> None:
    """If all are, a further one is refused clearly; once one has ended, there is room again."""
    with RunningServer(tmp_path, http_connections=1) as server:
        with opened(server) as watching:
            watching.sendall(GET.replace(b"/metrics", b"/live"))
            assert watching.recv(12) == b"HTTP/1.1 200"
            for _ in range(2):
                with opened(server) as further:
                    answer = said(further)
                    assert answer.startswith(b"HTTP/1.1 503 ")
                    assert b"maximum of connections" in answer
        assert within(PATIENCE_SECONDS, lambda: is_alive(server))
        assert server.metric('gpubench_connections_rejected_total{reason="too_many"}') >= 2
        assert server.metric(REPLACED) == 0


def test_of_very_many_too_many_few_are_kept_open(small: RunningServer) -> None:
    """Each would hold a file while what it sends is discarded."""

    def files() -> int:
        return len(list(Path(f"/proc/{small.process.pid}/fd").iterdir()))

    assert within(PATIENCE_SECONDS, lambda: is_alive(small))
    before = files()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(small)) for _ in range(40)]
        assert within(PATIENCE_SECONDS, lambda: answered(clients) == 38)
        assert within(PATIENCE_SECONDS, lambda: files() <= before + 4)
        assert within(PATIENCE_SECONDS, lambda: is_alive(small))


def test_one_address_leaves_room_for_others(tmp_path: Path) -> None:
    """Beyond its share it gets no place but its own."""
    host = own_address()
    options = ("--http", "0.0.0.0:0", "--insecure")
    limits = {"http_connections": 4, "http_deadline_seconds": 60}
    with RunningServer(tmp_path, *options, **limits) as server, contextlib.ExitStack() as stack:
        address = host, server.http[1]
        here = stack.enter_context(opened(server))
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in range(9)]
        assert within(PATIENCE_SECONDS, lambda: answered(clients) == 7)
        assert is_alive(server)  # from this machine
        here.sendall(GET)
        assert said(here).startswith(b"HTTP/1.1 200 ")


def test_a_connection_carries_one_request(small: RunningServer) -> None:
    with opened(small) as client:
        client.sendall(GET + GET)
        assert said(client).count(b"HTTP/1.1 200 ") == 1


def test_a_client_that_ends_its_input_gets_its_page(small: RunningServer) -> None:
    """As ``printf ... | nc`` does."""
    with opened(small) as client:
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        assert b"gpubench_build_info" in said(client)


def test_a_head_in_single_bytes_is_read(small: RunningServer) -> None:
    with opened(small) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.0\r\nX: y\n\r\n":
            client.sendall(bytes([byte]))
        assert said(client).endswith(b"alive\n")


@pytest.mark.parametrize(
    "head", [b"GET\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"\0\r\n\r\n"]
)
def test_what_is_no_request_gets_400(small: RunningServer, head: bytes) -> None:
    with opened(small) as client:
        client.sendall(head)
        assert said(client).startswith(b"HTTP/1.1 400 ")


def test_without_a_thread_the_limit_is_the_answer(tmp_path: Path) -> None:
    """Of a page, which is made in one, and of the first run for a device, whose queue is one."""
    with RunningServer(tmp_path) as server, contextlib.ExitStack() as stack:
        client = stack.enter_context(server.connect())
        client.ask("devices")
        process = server.process.pid

        def takes_threads() -> bool:
            """Until the stacks of those that have ended are in use again."""
            stack.enter_context(server.connect())
            return any("cannot start a thread" in line for line in server.log)

        with limited(process, resource.RLIMIT_AS, address_bytes(process) + 6 * MIB):
            assert within(PATIENCE_SECONDS, takes_threads)
            status, body = server.get("/readyz")
            assert (status, "no further process or thread may be started" in body) == (503, True)
            refused = client.refused("run", {"benchmarks": [quick()]})
            assert refused["data"]["kind"] == "limit_reached"
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"
        assert server.get("/readyz") == (200, "ready\n")
        assert not any("Traceback" in line for line in server.log), "\n".join(server.log)


def test_without_files_the_port_says_so_now_and_then(tmp_path: Path) -> None:
    """asyncio would log hundreds of tracebacks a second."""
    said_once = "on the HTTP port: a process may not open more than"
    with RunningServer(tmp_path) as server:
        server.ask("devices")
        process = server.process.pid
        files = len(list(Path(f"/proc/{process}/fd").iterdir()))
        with contextlib.ExitStack() as stack, limited(process, resource.RLIMIT_NOFILE, files):
            for _ in range(20):  # more than the server had open only for a moment when they were counted
                stack.enter_context(opened(server)).sendall(GET)
            assert within(PATIENCE_SECONDS, lambda: any(said_once in line for line in server.log))
        assert server.get("/readyz") == (200, "ready\n")
        assert not any("Traceback" in line for line in server.log), "\n".join(server.log)
        assert sum(said_once in line for line in server.log) < 20
