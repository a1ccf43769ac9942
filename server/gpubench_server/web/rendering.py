"""Templates and static files: every text escaped, nothing loaded from elsewhere, no script in a page."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import gpubench
from gpubench import units
from gpubench.report.templates import environment
from gpubench.report.text_table import UNKNOWN

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A report is one file with its style in it, and no script."""

_OURS = files("gpubench_server.web")
_REPORT = files("gpubench.report") / "html"

_STATIC = {
    "report.css": (_REPORT / "page.css", "text/css"),
    "page.css": (_OURS / "static" / "page.css", "text/css"),
    "icon.svg": (_OURS / "static" / "icon.svg", "image/svg+xml"),
    "live.js": (_OURS / "static" / "live.js", "text/javascript"),
}


@functools.cache
def _environment() -> jinja2.Environment:
    def source(name: str) -> str:
        folder = _REPORT if name == "table.html" else _OURS / "templates"
        return (folder / name).read_text(encoding="utf-8")

    made = environment(jinja2.FunctionLoader(source))
    made.globals |= {"version": gpubench.__version__, "unknown": UNKNOWN}
    made.filters |= {
        "size": units.format_bytes,
        "bandwidth": units.format_bandwidth,
        "percent": units.format_percent,
        "ratio": units.format_ratio,
        "time": lambda text: (text or UNKNOWN)[:16].replace("T", " "),
    }
    return made


def render(request: Request, template: str, code: int = 200, /, **values: Any) -> Response:
    """The page, which says who is signed in."""
    visitor = getattr(request.state, "visitor", None)
    page = _environment().get_template(template).render(visitor=visitor, **values)
    return HTMLResponse(page, code, {"Content-Security-Policy": POLICY})


def report_response(page: str) -> Response:
    return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})


def static_file(name: str) -> Response | None:
    if name not in _STATIC:
        return None
    path, kind = _STATIC[name]
    return Response(path.read_bytes(), media_type=kind)
