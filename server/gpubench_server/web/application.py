"""Every address of the HTTP port."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from gpubench_server.metrics import ServiceSnapshot
from gpubench_server.web.landing import landing_page
from gpubench_server.web.metrics_page import metrics_page

PAGES = ("/", "/healthz", "/readyz", "/metrics")


def make_application(
    snapshot: Callable[[], ServiceSnapshot], ready: Callable[[], str | None], tcp_url: str
) -> Starlette:
    """The pages; ``ready`` returns why runs are not accepted, one reason a line, or None if they are."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")  # not in a thread: it waits for nothing and nobody

    def readyz(request: Request) -> Response:
        reasons = ready()
        if reasons is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{reasons}\n", 503)

    def landing(request: Request) -> Response:
        return HTMLResponse(landing_page(snapshot(), ready(), tcp_url))

    routes = [
        Route("/", landing),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics_page(snapshot)),
    ]
    application = Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, compresslevel=5)],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )
    application.router.redirect_slashes = False  # it would redirect to whatever the Host header says
    return application


def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"not found; pages: {', '.join(PAGES)}\n", 404)


def _not_allowed(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return PlainTextResponse("allowed methods: GET, HEAD\n", 405, headers)
