"""Requests that a page of another site makes a browser send to this port, and how they are recognised.

- With DNS rebinding such a page points its own host name here, and can then read the answers. So the name in
  ``Host`` must be one of ours, or an IP address, which cannot be rebound. Over TLS the certificate proves it.
- With a form or an image it can send requests that carry our cookies. Browsers say where each comes from.
  ``SameSite`` alone is not enough: other ports of this host are the same site.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.datastructures import Headers
from starlette.types import Scope

from gpubench.errors import Forbidden, InvalidRequest

_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[^\s\[\]:/?#@\\]+)(?::(?P<port>\d{1,5}))?", re.ASCII
)
_READING = ("GET", "HEAD")


class Hosts:
    """The names of this machine, and those that its operator gave."""

    def __init__(self, names: frozenset[str]) -> None:
        named = {name for name in names if not _is_address(name)}
        self._names = {"localhost", socket.gethostname().lower(), *named}

    def check(self, scope: Scope) -> None:
        """Raises ``InvalidRequest`` for a name that is not ours. HTTP/1.0 has none; no browser speaks it."""
        host = Headers(scope=scope).get("host")
        if host is None:
            return
        name = split_host(host)[0]
        if scope["scheme"] == "https" or name in self._names or _is_address(name):
            return
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:100])
        raise InvalidRequest(
            f"this server is not known as {shown!r}, and a page on another site may have led you here; "
            f"allowed: IP addresses, {', '.join(sorted(self._names))}; if the name is right, start the "
            "server with --http-host NAME"
        )


def split_host(host: str) -> tuple[str, int | None]:
    """The name and the port in a ``Host`` header, the name in lower case without its last dot.

    Raises ``InvalidRequest``.
    """
    found = _HOST.fullmatch(host)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port or 0) > 0xFFFF:
        raise InvalidRequest(
            "the header Host is not HOST or HOST:PORT; send the address that you connected to"
        )
    return found["name"].lower().removesuffix("."), port


def check_site(scope: Scope, takes_forms: bool) -> None:
    """Raises ``Forbidden`` for what a page of another site asks for. Following a link from there is allowed.

    ``takes_forms``: at this address a form changes something, so it must say that a page of ours sent it.
    """
    headers = Headers(scope=scope)
    site, reading = headers.get("sec-fetch-site"), scope["method"] in _READING
    if site is None:  # no browser, an old one, or a connection on which browsers do not say it
        says = takes_forms or "origin" in headers
        if not reading and says and not _same_origin(headers):
            raise Forbidden(
                "this request must come from a page of this server, and its Origin header does not say so: "
                "sign in at /sign-in in a browser; programs send `Authorization: Bearer TOKEN`"
            )
        return
    if site == "same-origin" or (reading and site == "none"):
        return
    mode, place = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    if not (reading and mode == "navigate" and place == "document"):
        raise Forbidden("a page of another site made this request; open this server's own page")


def is_linked_from_elsewhere(scope: Scope) -> bool:
    """Whether the browser followed a link of another site, and so sent no cookie of ours."""
    return Headers(scope=scope).get("sec-fetch-site") in ("cross-site", "same-site")


def _same_origin(headers: Headers) -> bool:
    origin = headers.get("origin", "")
    return origin.partition("://")[2].lower() == headers.get("host", "").lower() != ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
