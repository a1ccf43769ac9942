"""One connection over a real pair of sockets, where the service behind it matters little."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from gpubench_server.connection import Connection
from gpubench_server.limits import Limits
from gpubench_server.outbox import PIECE_BYTES, Outbox, Ticket

READ_BYTES = PIECE_BYTES // 4
DOCUMENT = b"x" * (6 * PIECE_BYTES) + b"\n"


class Library:
    """Answers each line with a document of several pieces, and a line ``short`` with itself."""

    def respond(self, line: bytes, outbox: Outbox) -> bytes:
        return b"short\n" if line == b"short" else DOCUMENT

    def abandon(self, ticket: Ticket) -> None: ...


def serve(client: socket.socket, limits: Limits) -> None:
    with client:
        Connection(client, Library(), limits).serve()


@pytest.mark.parametrize("requests", [b"one\n", b"short\none\n", b"one\nshort\n"])
def test_a_long_document_to_a_slow_client_gets_a_deadline_for_each_piece(requests: bytes) -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs, Limits(send_deadline_seconds=0.6)))
    with ours:
        ours.sendall(requests)
        thread.start()
        received = bytearray()
        expected = len(DOCUMENT) + (len(b"short\n") if b"short" in requests else 0)
        while len(received) < expected:  # a piece in 0.2 s, all in 1.2 s
            chunk = ours.recv(READ_BYTES)
            assert chunk, "the slow client was cut"
            received += chunk
            time.sleep(0.05)
        ours.shutdown(socket.SHUT_WR)
        thread.join()
    answers = {b"one": DOCUMENT, b"short": b"short\n"}
    assert received == b"".join(answers[line] for line in requests.split())
