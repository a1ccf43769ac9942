"""The address of a server: ``tcp://``, ``tls://`` or ``unix://``, and for a ping or the status ``udp://`` and
``unixgram://``."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from gpubench.errors import InvalidParameters
from gpubench.protocol.messages import DEFAULT_PORT, MAX_SOCKET_PATH_BYTES
from gpubench.text import not_text

InternetScheme = Literal["tcp", "tls", "udp"]
UnixScheme = Literal["unix", "unixgram"]

ALLOWED = "tcp://HOST, tcp://HOST:PORT, tcp://[IPv6]:PORT, the same with tls://, or unix:///PATH"

_INTERNET = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:\[(?P<ipv6>[^\[\]/@]+)\]|(?P<host>[^\[\]:/@?#\s]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)
_UNIX = re.compile(r"(?P<scheme>unix|unixgram)://(?P<path>/.*[^/])", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    scheme: InternetScheme = "tcp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def confidential(self) -> bool:
        """Whether nobody else can read what is sent: it is encrypted, or does not leave this machine."""
        if self.scheme == "tls" or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    @property
    def datagrams(self) -> bool:
        """Whether each request is a datagram of its own, instead of a line on a connection."""
        return self.scheme == "udp"


@dataclass(frozen=True)
class SocketPath:
    """A Unix socket on this machine."""

    path: str
    scheme: UnixScheme = "unix"
    confidential = True

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    @property
    def datagrams(self) -> bool:
        """Whether each request is a datagram of its own, instead of a line on a connection."""
        return self.scheme == "unixgram"


ServerAddress: TypeAlias = Address | SocketPath


def parse_url(text: str) -> ServerAddress:
    """The address that ``text`` names; raises ``InvalidParameters``, which says what is allowed."""
    stripped = text.strip()
    unix = None if not_text(text) else _UNIX.fullmatch(stripped)
    if unix is not None:
        return _socket_path(text, unix["path"], unix["scheme"].lower())
    match = None if not_text(text) else _INTERNET.fullmatch(stripped)
    scheme = match["scheme"].lower() if match is not None else ""
    if match is None or scheme in get_args(UnixScheme):
        raise InvalidParameters(f"{text!r} is not a server address; {_hint(stripped)}")
    port = int(match["port"] or DEFAULT_PORT)
    for known in get_args(InternetScheme):
        if scheme == known:
            break
    else:
        raise InvalidParameters(f"{text!r}: {match['scheme']} is not supported; allowed: {ALLOWED}")
    if not 1 <= port <= 65_535:
        raise InvalidParameters(f"{text!r}: port {port} is not valid; allowed: 1 to 65535")
    ipv6 = (match["ipv6"] or "").replace("%25", "%")  # RFC 6874 writes the scope of fe80::1%eth0 so
    return Address(ipv6 or match["host"], port, known)


def _socket_path(text: str, path: str, scheme: str) -> SocketPath:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES or "\0" in path:
        raise InvalidParameters(
            f"{text!r}: the path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes, none of them 0; this "
            f"one has {length}"
        )
    return SocketPath(path, "unixgram" if scheme == "unixgram" else "unix")


def _hint(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if text.startswith("/"):
        return f"did you mean unix://{text}?"
    if separator and scheme.lower() in get_args(UnixScheme):
        return f"the path of a socket is absolute: did you mean {scheme}:///{rest.strip('/')}?"
    if not separator and _INTERNET.fullmatch(f"tcp://{text}"):
        return f"did you mean tcp://{text}?"
    return f"allowed: {ALLOWED}"
