"""Signing in on the page with a token, and out.

Only a page of this server can do either (``foreign_pages.py``), so that nobody signs a browser in unnoticed.
A session's id is always a new one, so that an id which somebody planted in a browser is worth nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gpubench.errors import GpubenchError, InvalidParameters, NotAuthenticated, RequestTimeout
from gpubench_server.web.admission import SIGN_IN, SIGN_OUT, Admission, cookie_name, origin_of
from gpubench_server.web.answers import status_of, with_headers
from gpubench_server.web.foreign_pages import is_linked_from_elsewhere
from gpubench_server.web.rendering import render

log = logging.getLogger(__name__)

_MAX_FORM_BYTES = 8 * 1024
"""A token is 61 characters, the rest is for the address of the page to return to."""

_PAGE = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", re.ASCII)
"""On this server: a browser reads ``//HOST`` and ``/\\HOST`` as addresses elsewhere."""


class SignIn:
    """The addresses are there only if this server asks its clients who they are."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    @property
    def routes(self) -> list[Route]:
        if not self._admission.asks:
            return []
        return [
            Route(SIGN_IN, self._sign_in, methods=["GET", "POST"]),
            Route(SIGN_OUT, self._sign_out, methods=["POST"]),
        ]

    async def _sign_in(self, request: Request) -> Response:
        return await (self._open if request.method == "POST" else self._ask)(request)

    async def _ask(self, request: Request) -> Response:
        """The form, or the way back if the browser has signed in already."""
        page = _page(request.query_params.get("next", ""))
        known = self._admission.session_id(request)
        token = None if known is None else await asyncio.to_thread(self._admission.sessions.token, known)
        return self._form(request, page) if token is None else RedirectResponse(page, 303)

    async def _open(self, request: Request) -> Response:
        """Check what the form has, and begin a session."""
        form = await self._fields(request)
        origin = origin_of(request.scope)
        page = _page(form.get("next", ""))
        try:
            token = await self._admission.authenticator.by_token_in_loop(
                form.get("token", "").strip(), origin
            )
            if token is None:
                raise NotAuthenticated(
                    "this server accepts no tokens, only client certificates (--tls-client-ca)"
                )
        except NotAuthenticated as error:
            return self._form(request, page, error)
        self._end(request)
        response = RedirectResponse(page, 303)
        session_id = await asyncio.to_thread(self._admission.sessions.open, token)
        fields = {**origin.log_fields, "principal": str(token.principal)}
        log.info("%s at %s signed in on the page", token.principal, origin.host, extra=fields)
        self._set_cookie(request, response, session_id)
        return response

    async def _sign_out(self, request: Request) -> Response:
        self._end(request)
        response = RedirectResponse(SIGN_IN, 303)
        self._set_cookie(request, response, "")
        return response

    def _form(self, request: Request, page: str, error: GpubenchError | None = None) -> Response:
        response = render(
            request,
            "sign_in.html",
            200 if error is None else status_of(error)[0],
            page=page,
            problem=error.message if error else None,
            from_elsewhere=is_linked_from_elsewhere(request.scope),
            confidential=origin_of(request.scope).confidential,
        )
        return response if error is None else with_headers(response, error)

    async def _fields(self, request: Request) -> dict[str, str]:
        """The last of each field. Raises ``InvalidParameters`` and ``RequestTimeout``."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._admission.limits.http_deadline_seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > _MAX_FORM_BYTES:
                        raise InvalidParameters(
                            f"the form is longer than {_MAX_FORM_BYTES} bytes; sign in at /sign-in"
                        )
            fields = parse_qs(body.decode("ascii"), max_num_fields=8)
        except TimeoutError:
            raise RequestTimeout("the form did not arrive in time; send it again") from None
        except (ValueError, ClientDisconnect):
            raise InvalidParameters("the request is not a valid form; sign in at /sign-in") from None
        return {name: values[-1] for name, values in fields.items()}

    def _end(self, request: Request) -> None:
        """The session that the browser has, if it has one."""
        known = self._admission.session_id(request)
        if known is not None:
            self._admission.sessions.close(known)

    def _set_cookie(self, request: Request, response: Response, session_id: str) -> None:
        """Until the browser is closed; an empty id removes it."""
        response.set_cookie(
            cookie_name(request),
            session_id,
            max_age=None if session_id else 0,
            path="/",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )


def _page(wanted: str) -> str:
    return wanted if _PAGE.fullmatch(wanted) else "/"
