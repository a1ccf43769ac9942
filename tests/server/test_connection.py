"""One connection over a real pair of sockets, without the service behind it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.connection import ClientConnection
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import PIECE_BYTES, Outbox
from gpubench_server.principals import THIS_MACHINE
from gpubench_server.session import Session

from gpubench.protocol.messages import MAX_REQUEST_BYTES

DOCUMENT = b"x" * (6 * PIECE_BYTES) + b"\n"
PAGE = b"x" * (PIECE_BYTES - 1) + b"\n"
ANSWERS = {
    b"one": DOCUMENT,
    b"page": PAGE,
    b"slow": PAGE,
    b"short": b"short\n",
    b"bad": b"error\n",
}
LIMITS = Limits(send_deadline_seconds=0.6)


def respond(line: bytes, outbox: Outbox) -> bytes:
    """The answer to the first word of a line: one piece or several, at once or after a while."""
    word = line.split()[0]
    if word == b"slow":
        time.sleep(1.2 * LIMITS.send_deadline_seconds)
    return ANSWERS[word]


@contextmanager
def served(limits: Limits = LIMITS) -> Iterator[socket.socket]:
    """The client's end; the connection must end soon after the client has left."""

    session = Session(
        Authenticator(None, None, limits, MetricsState()), Origin("127.0.0.1", True), THIS_MACHINE
    )

    def respond_or_complain(line: bytes, outbox: Outbox) -> bytes:
        session.bad_lines += line.startswith(b"bad")
        return respond(line, outbox)

    def serve() -> None:
        with theirs:
            ClientConnection(
                theirs, respond_or_complain, lambda ticket: None, limits, "http://here", session
            ).serve()

    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    ours.settimeout(10)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with ours:
        yield ours
    thread.join(10)
    assert not thread.is_alive()


def read(client: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = client.recv(count - len(received))
        assert chunk, f"cut after {len(received)} of {count} bytes"
        received += chunk
    return bytes(received)


@pytest.mark.timing
@pytest.mark.parametrize("requests", [b"one\n", b"short\none\n", b"one\nshort\n"])
def test_each_piece_of_a_long_document_has_its_own_deadline(requests: bytes) -> None:
    expected = b"".join(ANSWERS[word] for word in requests.split())
    received = b""
    with served() as client:
        client.sendall(requests)
        while len(received) < len(expected):  # a piece in 0.2 s, all in 1.2 s
            received += read(client, min(PIECE_BYTES // 4, len(expected) - len(received)))
            time.sleep(0.05)  # a slow client: it is what is tested
    assert received == expected


@pytest.mark.timing
@pytest.mark.parametrize("requests", [b"slow\n", b"short\nslow\n", b"page\nslow\nshort\n"])
def test_the_send_deadline_starts_when_there_is_data_to_read(requests: bytes) -> None:
    """Neither its own nor an earlier response expires while a response is computed."""
    expected = b"".join(ANSWERS[word] for word in requests.split())
    with served() as client:
        client.sendall(requests)
        assert read(client, len(expected)) == expected


@pytest.mark.timing
def test_a_flood_of_bad_lines_is_read_slowly() -> None:
    """Those that were saved up at once, the others at the rate; all are answered, after the end too."""
    limits = Limits(max_bad_lines_per_second=100)
    sent = b"bad\n" * 540 + b"short\n" * 3 + b"bad\n" * 40
    begun = time.monotonic()
    with served(limits) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: client.recv(4096), b""))
    assert answers == b"error\n" * 540 + b"short\n" * 3 + b"error\n" * 40
    assert time.monotonic() - begun > 0.7


@pytest.mark.timing
def test_some_bad_lines_slow_nobody_down() -> None:
    begun = time.monotonic()
    with served(Limits(max_bad_lines_per_second=0.2, line_deadline_seconds=60)) as client:
        client.sendall(b"bad\nshort\nbad\n")
        assert read(client, 12) == b"error\nshort\n"
        assert time.monotonic() - begun < 4  # the second one would have to wait for 5 s
        client.sendall(b"short\n")
        assert read(client, 6) == b"error\n"
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_refused_client_that_keeps_sending_is_disconnected() -> None:
    """The time to linger counts from the error; what the client sends meanwhile does not extend it."""
    with served(Limits(linger_seconds=0.2)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        until = time.monotonic() + 10
        with pytest.raises(OSError, match=r"reset|pipe"):
            while time.monotonic() < until:
                client.sendall(b"Host: x\r\n")


def test_an_error_reaches_a_client_that_ended_its_input() -> None:
    with served() as client:
        client.sendall(b"x" * MAX_REQUEST_BYTES)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := client.recv(4096):
            received += chunk
    assert b"line_too_long" in received


def test_unread_responses_stop_the_reading_of_requests() -> None:
    """A client that sends faster than it reads fills its own buffers, not the server's."""
    request = b"page".ljust(4095) + b"\n"
    sent = answered = 0
    with served(Limits()) as client:
        for _ in range(100):
            client.settimeout(0)
            while True:
                try:
                    sent += client.send(request[sent % len(request) :])
                except BlockingIOError:
                    break
            client.settimeout(10)
            read(client, len(PAGE))
            answered += len(request)
    assert sent - answered < 1024 * 1024
