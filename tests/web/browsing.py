"""A client with a browser's cookies, which says where its requests come from as browsers do."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.running import PATIENCE_SECONDS


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """By names in lower case."""
    text: str


class Browsing:
    """One browser; ``cookies`` are what it was told to keep."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self._tls = tls
        self.cookies: dict[str, str] = {}
        self.origin = f"{'http' if tls is None else 'https'}://{address[0]}:{address[1]}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers={"Sec-Fetch-Site": "same-origin", **_spelled(headers)})

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        """A form of this server's own pages, unless the headers say otherwise; an empty one is left out."""
        usual = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        usual["Content-Type"] = "application/x-www-form-urlencoded"
        sent = {name: value for name, value in {**usual, **_spelled(headers)}.items() if value}
        return self.request("POST", path, urlencode(form or {}), sent)

    def sign_in(self, token: str, page: str = "/", **headers: str) -> Answer:
        return self.post("/sign-in", {"token": token, "next": page}, **headers)

    def request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Redirections are not followed."""
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
            if self._tls is None
            else http.client.HTTPSConnection(*self.address, timeout=PATIENCE_SECONDS, context=self._tls)
        )
        sent = dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            text = response.read().decode()
        for told in response.headers.get_all("set-cookie") or ():
            for name, morsel in SimpleCookie(told).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, text)


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    """``sec_fetch_site`` as ``Sec-Fetch-Site``."""
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
