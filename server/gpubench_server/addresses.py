"""What the server listens on: the addresses of ``--listen`` and ``--http``."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from gpubench.errors import CannotListen, InvalidParameters
from gpubench.protocol.messages import MAX_SOCKET_PATH_BYTES

InternetScheme = Literal["tcp", "tls", "udp"]
UnixScheme = Literal["unix", "unixgram"]

ALLOWED = "tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH, udp://HOST:PORT, unixgram:///PATH"
"""For ``--listen``."""


@dataclass(frozen=True)
class Address:
    """A resolved address to listen on."""

    family: socket.AddressFamily
    host: str
    port: int
    loopback: bool
    scope: int = 0
    """The interface of a link-local IPv6 address; 0 for all others."""

    def __str__(self) -> str:
        return host_port(self.host, self.port)

    @property
    def bindable(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as ``socket.bind`` takes it."""
        if self.family == socket.AF_INET6:
            return self.host, self.port, 0, self.scope
        return self.host, self.port


@dataclass(frozen=True)
class InternetEndpoint:
    """An address to listen on, and what is spoken there."""

    scheme: InternetScheme
    address: Address
    inherited: socket.socket | None = None
    """The socket, if whoever started the server has opened it."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach it."""
        return not self.address.loopback


@dataclass(frozen=True)
class UnixEndpoint:
    """The path of a Unix socket to listen on, and what is spoken there."""

    scheme: UnixScheme
    path: Path
    inherited: socket.socket | None = None
    """The socket, if whoever started the server has opened it."""
    exposed = False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"


Endpoint = InternetEndpoint | UnixEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that a ``--listen`` names.

    Raises ``InvalidParameters``, which says what is allowed, and ``CannotListen`` for a host that is not of
    this machine.
    """
    match text.partition("://"):
        case (("tcp" | "tls" | "udp") as scheme, _, _):
            return InternetEndpoint(scheme, internet_address(text))
        case (("unix" | "unixgram") as scheme, _, path):
            return UnixEndpoint(scheme, _path(text, path))
    raise InvalidParameters(f"{text} is not a valid address; use {ALLOWED} for --listen")


def internet_address(url: str) -> Address:
    """The address in ``SCHEME://HOST:PORT``; without a host it is every address of this machine."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameters(f"{url} is not a valid address: {error}") from None
    if port is None or parts.path not in ("", "/"):
        raise InvalidParameters(
            f"{url} is not a valid address; use {parts.scheme}://HOST:PORT (--http: HOST:PORT)"
        )
    return resolve((host or "").replace("%25", "%"), port)  # RFC 6874 writes the scope so


def _path(url: str, path: str) -> Path:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise InvalidParameters(
            f"{url} is not a valid address; the path of a socket is absolute and names a file, as in "
            "unix:///run/gpubench/gpubench.sock"
        )
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise InvalidParameters(
            f"{url}: the path has {len(os.fsencode(path))} bytes; the system allows {MAX_SOCKET_PATH_BYTES} "
            "for a socket"
        )
    return Path(path)


def resolve(host: str, port: int) -> Address:
    """The address of ``host``; it counts as loopback only if every address of that name is."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"{host!r} is not an address of this machine: {error}") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    loopback = all(ipaddress.ip_address(address).is_loopback for address in addresses)
    family, address = found[0][0], found[0][4]
    scope = int(address[3]) if len(address) == 4 else 0
    return Address(family, str(address[0]), port, loopback, scope)


def host_port(host: str, port: int) -> str:
    """``host:port`` as in a URL, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_host_port(listener: socket.socket) -> str:
    """``host:port`` that a socket is bound to, with the interface of a link-local IPv6 address."""
    host, port, *rest = listener.getsockname()
    scope = rest[1] if len(rest) == 2 else 0
    interface = f"%{socket.if_indextoname(scope)}" if scope else ""
    return host_port(f"{host}{interface}", int(port))
