"""Every address of the HTTP port."""

from __future__ import annotations

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

from gpubench.errors import GpubenchError
from gpubench_server.limits import Limits
from gpubench_server.web.admission import Admission, AdmissionMiddleware
from gpubench_server.web.answers import at_a_limit, error_answer
from gpubench_server.web.api import Api
from gpubench_server.web.live import LiveFeed
from gpubench_server.web.metrics_page import metrics_page
from gpubench_server.web.pages import Pages
from gpubench_server.web.sign_in import SignIn
from gpubench_server.web.source import Source

PLACES = ("/", "/runs", "/compare", "/api/v1/openapi.json", "/healthz", "/readyz", "/metrics")


def make_application(
    source: Source, limits: Limits, ending: threading.Event, admission: Admission
) -> Starlette:
    """The pages, the API and what monitoring asks for; ``ending`` is set when the server shuts down."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")  # not in a thread: it waits for nothing and nobody

    def readyz(request: Request) -> Response:
        reasons = source.why_not_ready
        if reasons is None:
            return PlainTextResponse("ready\n")
        known = not admission.asks or request.state.visitor.known is not None
        text = reasons if known else "not ready; requests with a token get the reasons"
        return PlainTextResponse(f"{text}\n", 503)

    # Half of the connections stay free for scrapers and probes.
    feed = LiveFeed(source, max(1, limits.http_connections // 2), ending)
    application = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics_page(source.snapshot)),
            Route("/live", feed.page),
            *SignIn(admission).routes,
            *Pages(source).routes,
            *Api(source, admission.asks).routes,
        ],
        middleware=[
            Middleware(_SafeHeaders, private=admission.asks),
            Middleware(AdmissionMiddleware, admission=admission),
            Middleware(GZipMiddleware, compresslevel=5),
        ],
        exception_handlers={
            404: _not_found,
            405: _not_allowed,
            GpubenchError: error_answer,
            RuntimeError: at_a_limit,
            OSError: at_a_limit,
        },
    )
    application.router.redirect_slashes = False  # it would redirect to whatever the Host header says
    return application


class _SafeHeaders:
    """Adds headers to every response: no guessed types, nothing told to or used by other sites, no outdated
    copy from a cache, and no copy at all of what is not for everybody."""

    def __init__(self, app: ASGIApp, private: bool) -> None:
        self._app = app
        self._private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                # Without any referrer, browsers hide where a form comes from.
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                private = self._private and not scope["path"].startswith("/static/")
                headers["Cache-Control"] = "no-store" if private else "no-cache"
            await send(message)

        await self._app(scope, receive, add)


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"not found; pages: {', '.join(PLACES)}\n", 404)


def _not_allowed(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = sorted((headers or {}).get("Allow", "GET, HEAD").split(", "))
    return PlainTextResponse(f"allowed methods: {', '.join(allowed)}\n", 405, headers)
