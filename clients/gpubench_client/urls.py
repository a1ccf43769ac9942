"""The address of a server: ``tcp://host[:port]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpubench.errors import InvalidParameters
from gpubench.protocol.messages import DEFAULT_PORT
from gpubench.text import not_text

ALLOWED = "tcp://HOST, tcp://HOST:PORT or tcp://[IPv6]:PORT"

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:\[(?P<ipv6>[^\[\]/@]+)\]|(?P<host>[^\[\]:/@?#\s]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


def parse_url(text: str) -> Address:
    """The address that ``text`` names; raises ``InvalidParameters``, which says what is allowed."""
    match = None if not_text(text) else _URL.fullmatch(text.strip())
    if match is None:
        without_scheme = "://" not in text and _URL.fullmatch(f"tcp://{text.strip()}")
        hint = f"did you mean tcp://{text.strip()}?" if without_scheme else f"allowed: {ALLOWED}"
        raise InvalidParameters(f"{text!r} is not a server address; {hint}")
    if match["scheme"].lower() != "tcp":
        raise InvalidParameters(f"{text!r}: {match['scheme']} is not supported; allowed: {ALLOWED}")
    port = int(match["port"] or DEFAULT_PORT)
    if not 1 <= port <= 65_535:
        raise InvalidParameters(f"{text!r}: port {port} is not valid; allowed: 1 to 65535")
    ipv6 = (match["ipv6"] or "").replace("%25", "%")  # RFC 6874 writes the scope of fe80::1%eth0 so
    return Address(ipv6 or match["host"], port)
