"""The HTTP port: /metrics, /healthz, /readyz and a landing page.

``wsgiref`` behind the same bounded server class as the benchmark port. How it reads is replaced: the
head of a request has one deadline, because a time-out per ``recv`` would restart with each byte.
"""

from __future__ import annotations

import html
import io
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

import gpubench
from gpubench_server.limits import Limits
from gpubench_server.metrics import ServiceSnapshot, SnapshotCollector
from gpubench_server.transports import Address, BoundedMixIn, listen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 16 * 1024
"""The longest head of a request; scrapers send a few hundred bytes."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class WebServer(BoundedMixIn, WSGIServer):
    """Serves a WSGI application on one address."""

    def __init__(self, address: Address, application: WSGIApplication, limits: Limits) -> None:
        self.bound(limits.http_connections, limits.linger_seconds, _BUSY)
        self.address_family = address.family
        self.deadline_seconds = limits.http_deadline_seconds
        super().__init__((address.host, address.port), _Handler, bind_and_activate=False)
        listen(self, address)
        self.set_app(application)

    def server_bind(self) -> None:
        # The base class looks up our own name, which can take half a minute.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    """One request; its head is read before it is parsed."""

    server: WebServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.rfile: Any = io.BytesIO(_read_head(self.connection, self.server.deadline_seconds))
        self.wfile: Any = _Writer(self.connection, self.server.deadline_seconds)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)


class _Writer(io.BufferedIOBase):
    """Sends a response, all of it within one deadline."""

    def __init__(self, connection: socket.socket, deadline_seconds: float) -> None:
        self._connection = connection
        self._until = time.monotonic() + deadline_seconds

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # The time-out of `sendall` is for all of the data.
        self._connection.settimeout(max(0.001, self._until - time.monotonic()))
        try:
            self._connection.sendall(data)
        except TimeoutError:
            # With this error wsgiref ends the request quietly; with TimeoutError it logs a traceback.
            raise ConnectionAbortedError from None
        return len(data)


def _read_head(connection: socket.socket, deadline_seconds: float) -> bytes:
    """A request's first line and headers; empty if they do not arrive in time.

    Bodies are not read: no page takes one.
    """
    until = time.monotonic() + deadline_seconds
    head = b""
    while not _HEAD_END.search(head):
        left = until - time.monotonic()
        if left <= 0 or len(head) > _MAX_HEAD_BYTES:
            return b""
        connection.settimeout(left)
        try:
            chunk = connection.recv(_MAX_HEAD_BYTES)
        except OSError:
            return b""
        if not chunk:
            return b""
        head += chunk
    return head


def make_application(
    snapshot: Callable[[], ServiceSnapshot], ready: Callable[[], str | None], tcp_url: str
) -> WSGIApplication:
    """The pages; ``ready`` returns why runs are not accepted, or None if they are."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot))
    metrics: WSGIApplication = make_wsgi_app(registry)

    def healthz() -> tuple[str, str, str]:
        return "200 OK", "text/plain", "alive\n"

    def readyz() -> tuple[str, str, str]:
        reason = ready()
        if reason is None:
            return "200 OK", "text/plain", "ready\n"
        return "503 Service Unavailable", "text/plain", f"{reason}\n"

    def landing() -> tuple[str, str, str]:
        return "200 OK", "text/html", _landing_page(snapshot(), ready(), tcp_url)

    pages = {"/": landing, "/healthz": healthz, "/readyz": readyz}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            try:
                return metrics(environ, start_response)
            except TypeError:  # prometheus_client fails if the version in Accept is not a number
                return metrics({**environ, "HTTP_ACCEPT": "text/plain"}, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, text = "405 Method Not Allowed", "text/plain", "allowed methods: GET, HEAD\n"
        elif path in pages:
            status, kind, text = pages[path]()
        else:
            status, kind, text = (
                "404 Not Found",
                "text/plain",
                f"not found; pages: {', '.join(pages)}, /metrics\n",
            )
        start_response(status, [("Content-Type", f"{kind}; charset=utf-8")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]

    return application


def _landing_page(snapshot: ServiceSnapshot, reason: str | None, tcp_url: str) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(device.id)}</code><td>{html.escape(device.name)}"
        f"<td>{html.escape(device.driver_name)}"
        f"<td>{html.escape(device.unavailable or 'ready')}"
        for device in snapshot.devices
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>gpubench</title>"
        '<meta name=viewport content="width=device-width"><meta name=color-scheme content="light dark">'
        f"<h1>gpubench {html.escape(gpubench.__version__)}</h1>"
        f"<p>State: {html.escape(reason or 'ready for runs')}. Benchmarks are requested at "
        f"<code>{html.escape(tcp_url)}</code>, not on this port.</p>"
        f"<table><tr><th>device<th>name<th>driver<th>state{rows}</table>"
        "<p><a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a></p>"
    )
