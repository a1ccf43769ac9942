"""Every address of the HTTP port."""

from __future__ import annotations

import logging
import threading

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpubench.devices.process_limits import limit_reached
from gpubench.errors import (
    DocumentError,
    GpubenchError,
    InvalidParameters,
    LimitExceeded,
    MissingDependency,
    NoSuchRun,
)
from gpubench_server.limits import Limits
from gpubench_server.web.api import Api, error_response
from gpubench_server.web.live import LiveFeed
from gpubench_server.web.metrics_page import metrics_page
from gpubench_server.web.pages import Pages
from gpubench_server.web.rendering import render
from gpubench_server.web.source import Source

log = logging.getLogger(__name__)

PLACES = ("/", "/runs", "/compare", "/api/v1/openapi.json", "/healthz", "/readyz", "/metrics")

_STATUS: dict[type[GpubenchError], tuple[int, str]] = {
    NoSuchRun: (404, "No such run"),
    InvalidParameters: (400, "Not a valid request"),
    LimitExceeded: (503, "Not now"),
    MissingDependency: (501, "Not installed"),
    DocumentError: (500, "Damaged run"),
}
"""The status of an answer, and the title of its page, by the first class that the error is of."""


def make_application(source: Source, limits: Limits, ending: threading.Event) -> Starlette:
    """The pages, the API and what monitoring asks for; ``ending`` is set when the server shuts down."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")  # not in a thread: it waits for nothing and nobody

    def readyz(request: Request) -> Response:
        reasons = source.why_not_ready
        if reasons is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{reasons}\n", 503)

    # Half of the connections stay free for scrapers and probes.
    feed = LiveFeed(source, max(1, limits.http_connections // 2), ending)
    application = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics_page(source.snapshot)),
            Route("/live", feed.page),
            *Pages(source).routes,
            *Api(source).routes,
        ],
        middleware=[Middleware(_SafeHeaders), Middleware(GZipMiddleware, compresslevel=5)],
        exception_handlers={
            404: _not_found,
            405: _not_allowed,
            GpubenchError: _refused,
            RuntimeError: _without_thread,
        },
    )
    application.router.redirect_slashes = False  # it would redirect to whatever the Host header says
    return application


class _SafeHeaders:
    """Adds headers to every response: no guessed types, no referrer, and no outdated copy from a cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cache-Control"] = "no-cache"
            await send(message)

        await self._app(scope, receive, add)


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"not found; pages: {', '.join(PLACES)}\n", 404)


def _not_allowed(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return PlainTextResponse("allowed methods: GET, HEAD\n", 405, headers)


async def _without_thread(request: Request, error: Exception) -> Response:
    """Pages are made in threads, and so are errors, by functions that are no coroutines."""
    limit = limit_reached(error)
    if limit is None:
        raise error
    log.warning("a request for %s was refused: %s", request.url.path, limit.message)
    return PlainTextResponse(f"{limit.message}\n", 503)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GpubenchError)  # noqa: S101 - registered for no other
    known = (found for kind, found in _STATUS.items() if isinstance(error, kind))
    status, title = next(known, (500, "Something went wrong"))
    if request.url.path.startswith("/api/"):
        response = error_response(error, status)
    else:
        response = render("error.html", status, title=title, message=error.message)
    if error.details.get("retry_after_seconds"):
        response.headers["Retry-After"] = f"{error.details['retry_after_seconds']:.0f}"
    return response
