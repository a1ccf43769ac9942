"""Clients that took one port for the other, or speak TLS: answered at their first byte, in their language."""

from __future__ import annotations

import json
import socket
import ssl

import pytest
from gpubench_server.wrong_protocol import answer_on_http_port, answer_on_line_port

from gpubench.errors import ProtocolError
from gpubench.protocol.messages import PARAMETERS
from tests.running import PATIENCE_SECONDS, RunningServer

TLS_ALERT = bytes([0x15, 3, 1, 0, 2, 2, 0x28])
HTTP_VERBS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI")


def answer(address: tuple[str, int], opening: bytes) -> bytes:
    """All that is said to this opening; the client sends nothing more, and does not close."""
    with socket.create_connection(address, PATIENCE_SECONDS) as client, client.makefile("rb") as reader:
        client.sendall(opening)
        return reader.read()


@pytest.mark.parametrize(
    "opening", [b"G", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n"]
)
def test_http_on_the_benchmark_port(server: RunningServer, opening: bytes) -> None:
    head, _, body = answer(server.tcp, opening).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert f"http://127.0.0.1:{server.http[1]}".encode() in body


@pytest.mark.parametrize("opening", [b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_tls_on_both_ports(server: RunningServer, opening: bytes) -> None:
    assert answer(server.tcp, opening) == TLS_ALERT
    assert answer(server.http, opening) == TLS_ALERT


def test_a_real_tls_client_is_told_by_an_alert(server: RunningServer) -> None:
    context = ssl.create_default_context()
    for address in (server.tcp, server.http):
        with (
            socket.create_connection(address, PATIENCE_SECONDS) as plain,
            pytest.raises(ssl.SSLError, match="ALERT"),
        ):
            context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("opening", [b"{", b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n', b"["])
def test_json_on_the_http_port(server: RunningServer, opening: bytes) -> None:
    error = json.loads(answer(server.http, opening))["error"]
    assert error["code"] == ProtocolError.code
    assert f"tcp://127.0.0.1:{server.tcp[1]}" in error["message"]


def test_every_beginning_of_http_is_recognised_and_none_of_ours() -> None:
    for verb in HTTP_VERBS:
        request = f"{verb} / HTTP/1.1\r\n".encode()
        assert all(answer_on_line_port(request[:size], "") for size in range(1, len(request)))
        assert not any(answer_on_http_port(request[:size], "") for size in range(1, len(request)))
    for method in PARAMETERS:
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
        assert not any(answer_on_line_port(line[:size], "") for size in range(1, len(line)))
    assert answer_on_line_port(b"PING", "") is None  # typed by a person: answered as a line that is not JSON
