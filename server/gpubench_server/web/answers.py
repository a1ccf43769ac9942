"""Errors as answers: for programs that use the API as JSON, for others as a page."""

from __future__ import annotations

import logging
import math

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gpubench.devices.process_limits import limit_reached
from gpubench.errors import (
    DocumentError,
    Forbidden,
    GpubenchError,
    InvalidParameters,
    InvalidRequest,
    LimitExceeded,
    MissingDependency,
    NoSuchRun,
    NotAuthenticated,
    RequestTimeout,
    StoreError,
)
from gpubench_server.web.api import json_response
from gpubench_server.web.rendering import render
from gpubench_server.web.views import ErrorView

log = logging.getLogger(__name__)

_STATUS: dict[type[GpubenchError], tuple[int, str]] = {
    NoSuchRun: (404, "No such run"),
    InvalidParameters: (400, "Not a valid request"),
    InvalidRequest: (421, "Not this server's name"),
    RequestTimeout: (408, "Too slow"),
    NotAuthenticated: (401, "Sign in first"),
    Forbidden: (403, "Not allowed"),
    LimitExceeded: (503, "Not now"),
    MissingDependency: (501, "Not installed"),
    DocumentError: (500, "Damaged run"),
}
"""The status of an answer, and the title of its page, by the first class that the error is of."""


def error_answer(request: Request, error: Exception) -> Response:
    """For a ``GpubenchError``, whatever its class."""
    assert isinstance(error, GpubenchError)  # noqa: S101 - registered for no other
    status, title = status_of(error)
    if request.scope["path"].startswith("/api/"):
        view = ErrorView(kind=error.kind, message=error.message)
        response = json_response(view, status)
    else:
        response = render(request, "error.html", status, title=title, message=error.message)
    return with_headers(response, error)


async def at_a_limit(request: Request, error: Exception) -> Response:
    """For a thread that cannot be started, or a file that cannot be opened; raises any other error again.

    A coroutine, because for other functions a thread would be started.
    """
    limit = limit_reached(error)
    if limit is None:
        raise error
    log.warning("a request for %s was refused: %s", request.url.path, limit.message)
    return PlainTextResponse(f"{limit.message}\n", 503)


def status_of(error: GpubenchError) -> tuple[int, str]:
    """The status of the answer, and the title of its page."""
    if "limit" in error.details or (isinstance(error, NotAuthenticated) and error.retryable):
        return 429, "Too often"
    if isinstance(error, StoreError) and error.retryable:
        return 503, "Not now"
    known = (found for kind, found in _STATUS.items() if isinstance(error, kind))
    return next(known, (500, "Something went wrong"))


def with_headers(response: Response, error: GpubenchError) -> Response:
    """When to try again, and how to say who one is."""
    wait_seconds = error.details.get("retry_after_seconds")
    if wait_seconds:
        response.headers["Retry-After"] = str(math.ceil(wait_seconds))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gpubench"'
    return response
