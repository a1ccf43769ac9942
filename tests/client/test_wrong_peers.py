"""Peers that are not a gpubench server, or a broken one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from gpubench.errors import GpubenchError, ProtocolError, Unreachable
from gpubench.protocol.messages import MAX_RESPONSE_BYTES
from tests.client.conftest import Connect


@contextlib.contextmanager
def peer(says: bytes, then_closes: bool) -> Iterator[str]:
    """A listener that reads one request, answers with ``says``, and closes or stays silent."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):  # the client may have closed already
            connection.recv(65536)
            connection.sendall(says)
            if not then_closes:
                done.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: serve(listener.accept()[0]))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


HELLO = {"protocol": 2, "server": "9", "features": [], "devices": [], "limits": {}}
LIMITS = {
    "max_request_bytes": 1, "line_deadline_seconds": 1, "idle_seconds": 1, "max_connections": 1,
    "max_queue_length": 1, "max_run_seconds": 1, "max_memory_share_ratio": 1, "max_runs_per_connection": 1,
}  # fmt: skip
NEWER = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {**HELLO, "limits": LIMITS}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("says", "then_closes", "error", "said"),
    [
        (b"", True, Unreachable, "closed the connection"),
        (b'{"jsonrpc": "2.0", "id": 1', True, Unreachable, "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, ProtocolError, "is it a gpubench server"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", False, ProtocolError, "is it a gpubench server"),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n', False, ProtocolError, "cannot be read"),
        (b"x" * (MAX_RESPONSE_BYTES + (1 << 20)), False, ProtocolError, "longer than"),
        (NEWER, False, ProtocolError, "speaks protocol 2, this client 1"),
    ],
)
def test_peers_that_are_not_gpubench_servers(
    connect: Connect, says: bytes, then_closes: bool, error: type[GpubenchError], said: str
) -> None:
    with (
        peer(says, then_closes) as url,
        connect(url) as client,
        pytest.raises(error, match=said),
    ):
        client.ping()


def test_a_silent_peer_is_unreachable_after_the_timeout(
    connect: Connect,
) -> None:
    with (
        peer(b"", then_closes=False) as url,
        connect(url, answer_timeout_seconds=0.2) as client,
        pytest.raises(Unreachable, match=r"sent nothing for 0\.2 s"),
    ):
        client.ping()


@pytest.mark.parametrize("host", ["127.0.0.1:1", "a..b", "no-such-host.invalid", "[::1]:1"])
def test_unreachable_says_what_to_do(connect: Connect, host: str) -> None:
    with connect(f"tcp://{host}") as client, pytest.raises(Unreachable, match="start gpubench-server there"):
        client.ping()
