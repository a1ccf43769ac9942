"""The HTTP port: /metrics, /healthz, /readyz and a landing page.

``wsgiref`` behind the same bounded server class as the benchmark port. How it reads is replaced: the
head of a request has one deadline, because a time-out per ``recv`` would restart with each byte.
"""

from __future__ import annotations

import contextlib
import html
import io
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

import gpubench
from gpubench_server.addresses import Address
from gpubench_server.limits import Limits
from gpubench_server.metrics import ServiceSnapshot, SnapshotCollector
from gpubench_server.named_families import NamedFamilies
from gpubench_server.transports import BoundedMixIn, listen
from gpubench_server.wrong_protocol import answer_on_http_port, http_response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 16 * 1024
"""The longest head of a request; scrapers send a few hundred bytes."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BUSY = http_response("503 Service Unavailable", "this port has its maximum of connections")


class WebServer(BoundedMixIn, WSGIServer):
    """Serves a WSGI application on one address."""

    def __init__(
        self, address: Address, application: WSGIApplication, limits: Limits, benchmark_urls: str
    ) -> None:
        self.benchmark_urls = benchmark_urls
        self.bound(limits.http_connections, limits.linger_seconds, _BUSY)
        self.address_family = address.family
        self.deadline_seconds = limits.http_deadline_seconds
        self.set_app(application)
        super().__init__(address.bindable, _Handler, bind_and_activate=False)
        listen(self, address)

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
        self.wfile: Any = _Writer(self.connection, self.server.deadline_seconds)

    def handle(self) -> None:
        try:
            head = _read_head(self.connection, self.server.deadline_seconds, self.server.benchmark_urls)
        except _NoRequestError as reason:
            self.wfile.write(reason.answer)
            _linger(self.connection, self.server.linger_seconds)
            return
        self.rfile: Any = io.BytesIO(head)
        super().handle()

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


class _NoRequestError(Exception):
    """What has arrived is no request; ``answer`` is sent instead of a page."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


def _read_head(connection: socket.socket, deadline_seconds: float, benchmark_urls: str) -> bytes:
    """A request's first line and headers; raises ``_NoRequestError`` if that is not what arrives in time.

    Bodies are not read: no page takes one.
    """
    until = time.monotonic() + deadline_seconds
    head = b""
    while not _HEAD_END.search(head):
        if len(head) > _MAX_HEAD_BYTES:
            raise _NoRequestError(http_response("431 Request Header Fields Too Large"))
        connection.settimeout(max(0.001, until - time.monotonic()))
        try:
            chunk = connection.recv(_MAX_HEAD_BYTES)
        except TimeoutError:
            late = f"a request was not completed in {deadline_seconds:g} s"
            raise _NoRequestError(http_response("408 Request Timeout", late)) from None
        except OSError:
            chunk = b""
        if not chunk:
            raise _NoRequestError(b"")
        head += chunk
        explanation = answer_on_http_port(head, benchmark_urls)
        if explanation is not None:
            raise _NoRequestError(explanation)
    return head


def _linger(connection: socket.socket, seconds: float) -> None:
    """Read and discard what the client still sends: closing with unread input would reset the connection,
    and the reset can overtake the answer."""
    until = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(_MAX_HEAD_BYTES):
                return


def make_application(
    snapshot: Callable[[], ServiceSnapshot], ready: Callable[[], str | None], benchmark_urls: str
) -> WSGIApplication:
    """The pages; ``ready`` returns why runs are not accepted, one reason a line, or None if they are."""
    registry = NamedFamilies()
    registry.register(SnapshotCollector(snapshot))
    metrics: WSGIApplication = make_wsgi_app(registry)

    def healthz() -> tuple[str, str, str]:
        return "200 OK", "text/plain", "alive\n"

    def readyz() -> tuple[str, str, str]:
        reasons = ready()
        if reasons is None:
            return "200 OK", "text/plain", "ready\n"
        return "503 Service Unavailable", "text/plain", f"{reasons}\n"

    def landing() -> tuple[str, str, str]:
        return "200 OK", "text/html", _landing_page(snapshot(), ready(), benchmark_urls)

    pages = {"/": landing, "/healthz": healthz, "/readyz": readyz}

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if environ["REQUEST_METHOD"] != "GET":
            status, kind, text = "405 Method Not Allowed", "text/plain", "allowed methods: GET, HEAD\n"
        elif path in pages:
            status, kind, text = pages[path]()
        elif path == "/metrics":
            try:
                return metrics(environ, start_response)
            except TypeError:  # prometheus_client fails if the version in Accept is not a number
                return metrics({**environ, "HTTP_ACCEPT": "text/plain"}, start_response)
        else:
            status, kind, text = (
                "404 Not Found",
                "text/plain",
                f"not found; pages: {', '.join(pages)}, /metrics\n",
            )
        start_response(status, [("Content-Type", f"{kind}; charset=utf-8")])
        return [text.encode()]

    return _with_head(page)


def _with_head(page: WSGIApplication) -> WSGIApplication:
    """Answer HEAD as GET, without the body but with its length."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return page(environ, start_response)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def keep(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda data: None

        body = b"".join(page({**environ, "REQUEST_METHOD": "GET"}, keep))
        ((status, headers),) = started
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return []

    return application


def _landing_page(snapshot: ServiceSnapshot, reason: str | None, benchmark_urls: str) -> str:
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
        f"<code>{html.escape(benchmark_urls)}</code>, not on this port.</p>"
        f"<table><tr><th>device<th>name<th>driver<th>state{rows}</table>"
        "<p><a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a></p>"
    )
