"""Answers for clients that took one port for another, in their own language, judged by their first bytes.

Their first byte is enough: no request of this protocol begins as TLS or HTTP do, and no request of HTTP
begins as JSON does. So nobody waits for a time-out, and nobody gets a language that it cannot read.
"""

from __future__ import annotations

from gpubench.errors import InvalidRequest
from gpubench_server.encode import error_line

RECOGNISED_BYTES = len(b"OPTIONS ")

TLS_HANDSHAKE = b"\x16"
_TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x28"
"""A record of TLS 1.0, which every version reads: fatal, ``handshake_failure``."""

TLS_REFUSAL = b"\x15\x03\x03\x00\x02\x02\x50"
"""``internal_error``, which is all that can be said before the handshake to a client that is too many."""

_JSON = (b"{", b"[")
_VERBS = tuple(
    verb.encode() + b" "
    for verb in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI")
)


def answer_on_line_port(beginning: bytes, http_url: str) -> bytes | None:
    """For a client of the benchmark port; None if it may speak its protocol."""
    if beginning.startswith(TLS_HANDSHAKE):
        return _TLS_ALERT
    if any(beginning.startswith(verb[: len(beginning)]) for verb in _VERBS):
        return http_response(
            "400 Bad Request",
            "this port speaks newline-delimited JSON-RPC 2.0, not HTTP; metrics and health are at "
            f"{http_url}",
        )
    return None


def answer_on_tls_port(beginning: bytes, url: str) -> bytes:
    """For a client that does not begin as TLS does."""
    explanation = f"this port speaks TLS: connect to {url}, with this host's name in the certificate"
    if any(beginning.startswith(verb[: len(beginning)]) for verb in _VERBS):
        return http_response("400 Bad Request", explanation)
    return error_line(None, InvalidRequest(explanation))


def answer_on_http_port(beginning: bytes, benchmark_urls: str) -> bytes | None:
    """For a client of the HTTP port; None if it may speak HTTP."""
    if beginning.startswith(TLS_HANDSHAKE):
        return _TLS_ALERT
    if beginning.startswith(_JSON):
        return error_line(
            None,
            InvalidRequest(
                f"this port speaks HTTP, not JSON-RPC; benchmarks are requested at {benchmark_urls}"
            ),
        )
    return None


def http_response(status: str, text: str = "") -> bytes:
    """A complete response, after which the connection is closed."""
    body = f"{text}\n".encode() if text else b""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
