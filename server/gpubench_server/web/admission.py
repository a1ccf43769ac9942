"""Who may see what on the HTTP port, decided before a page or the API is asked.

Programs show a token with each request, as ``Authorization: Bearer``; browsers sign in with it once, and show
the cookie of a session. Both are checked as on the benchmark port, by the same ``Authenticator``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gpubench.errors import GpubenchError, NotAuthenticated
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.http_options import HttpSettings
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.principals import Principal
from gpubench_server.refusals import Refusals
from gpubench_server.session import Session
from gpubench_server.web.answers import at_a_limit, error_answer
from gpubench_server.web.foreign_pages import Hosts, check_site, split_host
from gpubench_server.web.gate import NOBODY
from gpubench_server.web.sessions import WebSessions

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"

_METHOD = "results"
"""The method of the benchmark port that stands for reading the pages and the API: both need the same role."""

_FORMS = (SIGN_IN, SIGN_OUT)
_OPEN = ("/healthz", *_FORMS)
_FOR_PROGRAMS = ("/api/", "/metrics", "/readyz", "/live")


@dataclass(frozen=True)
class Visitor:
    """The sender of a request."""

    known: Principal | None
    session_id: str | None
    """Set if it signed in on the page."""
    still_admitted: Callable[[], Awaitable[bool]]
    """Whether it would be now: a long response asks again."""

    @property
    def signed_in(self) -> bool:
        return self.session_id is not None


class Admission:
    """What all requests of the HTTP port have in common."""

    def __init__(
        self, authenticator: Authenticator, metrics: MetricsState, limits: Limits, settings: HttpSettings
    ) -> None:
        self.authenticator = authenticator
        self.limits = limits
        self.sessions = WebSessions(authenticator, limits)
        self.hosts = Hosts(settings.hosts)
        self.refusals = Refusals(metrics)
        self._open_metrics = settings.open_metrics

    @property
    def asks(self) -> bool:
        """Whether clients must authenticate."""
        return self.authenticator.asks

    def session_id(self, request: Request) -> str | None:
        return request.cookies.get(cookie_name(request))

    async def visitor(self, request: Request, session: Session) -> Visitor:
        """Raises ``NotAuthenticated``, ``Forbidden`` and ``LimitExceeded``."""
        path = request.scope["path"]
        if path in _OPEN or path.startswith("/static/"):
            return Visitor(None, None, _always)
        token = _bearer(request) if self.asks else None
        if token is not None:
            found = await self.authenticator.by_token_in_loop(token, session.origin)
            if found is not None:
                session.take(found)
        # In a thread, because the token file may be looked at, which its disk can hold up.
        return await asyncio.to_thread(self._visitor, request, session, shown=token is not None)

    def _visitor(self, request: Request, session: Session, shown: bool) -> Visitor:
        """``shown``: it has a token in its request, and so its cookie does not count."""
        session_id = None if shown or session.known else self.session_id(request)
        signed_in = None if session_id is None else self.sessions.token(session_id)
        if signed_in is None:
            session_id = None
        else:
            session.take(signed_in)
        path = request.scope["path"]
        if session.known:
            session.check(_METHOD)
        elif path != "/readyz" and not (path == "/metrics" and self._open_metrics):
            raise NotAuthenticated(
                "this server requires authentication: send `Authorization: Bearer TOKEN`, or sign in at "
                "/sign-in in a browser; the server's operator makes tokens with `gpubench-server token add`"
            )
        return Visitor(
            session.principal if session.known else None,
            session_id,
            lambda: asyncio.to_thread(self._still_admitted, session, session_id),
        )

    def _still_admitted(self, session: Session, session_id: str | None) -> bool:
        if session_id is not None:
            return self.sessions.token(session_id) is not None
        try:
            return session.principal is not None
        except NotAuthenticated:
            return False


async def _always() -> bool:
    return True


def _bearer(request: Request) -> str | None:
    """The token that a request shows. A header of another kind is for a proxy before this server."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


class AdmissionMiddleware:
    """Lets requests through that may pass, and answers the others."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, state = Request(scope, receive), scope.setdefault("state", {})
        admission, origin = self._admission, origin_of(scope)
        principal = admission.authenticator.without_token(origin, state.get("certificate"))
        session = Session(admission.authenticator, origin, principal)
        answer: ASGIApp
        try:
            if scope["path"] != "/healthz":
                admission.hosts.check(scope)
                check_site(scope, takes_forms=scope["path"] in _FORMS)
            state["visitor"] = await admission.visitor(request, session)
            answer = self._app
        except GpubenchError as error:
            answer = self._refusal(request, session, error)
        except (RuntimeError, OSError) as error:  # before those that are handled by the application
            answer = await at_a_limit(request, error)
        await answer(scope, receive, send)

    def _refusal(self, request: Request, session: Session, error: GpubenchError) -> Response:
        path, reads = request.scope["path"], request.method in ("GET", "HEAD")
        first_visit = isinstance(error, NotAuthenticated) and _bearer(request) is None
        if first_visit and reads and not path.startswith(_FOR_PROGRAMS):
            return to_sign_in(request)
        self._admission.refusals.note(session, f"HTTP {request.method}", error)
        return error_answer(request, error)


def to_sign_in(request: Request) -> Response:
    """And from there back to the page that was asked for."""
    query = request.scope["query_string"].decode("latin-1")
    page = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': page})}" if page != "/" else SIGN_IN, 303)


def origin_of(scope: Scope) -> Origin:
    client = scope.get("client")
    return Origin.internet(client[0] if client else NOBODY, scope["scheme"] == "https")


def cookie_name(request: Request) -> str:
    """With the port that the browser knows: cookies are shared by all ports of a host, and several servers
    may be forwarded to this machine. Over TLS only this host can have set it, and for all of its paths."""
    host = request.headers.get("host")
    port = None if host is None else split_host(host)[1]
    secure = request.scope["scheme"] == "https"
    return f"{'__Host-' if secure else ''}gpubench-{port or (443 if secure else 80)}"
