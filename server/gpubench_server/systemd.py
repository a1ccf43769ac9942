"""Notifications to systemd, and the sockets that it passes: its protocols, without its library.

Without systemd nothing of this happens: everything depends on the variables that it sets.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from gpubench.errors import CannotListen
from gpubench_server.addresses import Address, Endpoint, InternetEndpoint, UnixEndpoint

log = logging.getLogger(__name__)

_FIRST_DESCRIPTOR = 3

_SEND_SECONDS = 1.0
"""For systemd to take a message; without it the server goes on, and systemd may end it."""


class Systemd:
    """The service manager that started this process, if one did.

    Its variables are taken out of ``environment``, so that they are not taken for a worker's.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        own = environment.pop("WATCHDOG_PID", None) in (None, str(os.getpid()))
        microseconds = environment.pop("WATCHDOG_USEC", "")
        self.watchdog_seconds: float | None = None
        """How long it waits for ``alive`` before it ends the server; None if it does not."""
        if self._address and own and microseconds.isdecimal():
            self.watchdog_seconds = int(microseconds) / 1e6
        self._passed = _passed_descriptors(environment)

    def endpoints(self) -> list[Endpoint]:
        """The sockets that were passed; raises ``CannotListen`` for one that cannot be served."""
        return [_endpoint(descriptor) for descriptor in self._passed]

    def ready(self, urls: Sequence[str]) -> None:
        self._notify("READY=1", f"STATUS=listening on {', '.join(urls)}")

    def stopping(self, seconds: float) -> None:
        """The server ends, which may take so long."""
        self._notify(
            "STOPPING=1",
            f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}",
            "STATUS=draining: no new runs; current runs may end",
        )

    def alive(self) -> None:
        self._notify("WATCHDOG=1")

    def _notify(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
                notifying.settimeout(_SEND_SECONDS)
                notifying.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("cannot notify systemd of %s: %s", lines[0], error)


def _passed_descriptors(environment: MutableMapping[str, str]) -> range:
    own = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    return range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + (int(count) if own and count.isdecimal() else 0))


def _endpoint(descriptor: int) -> Endpoint:
    try:
        passed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise CannotListen(f"systemd passed no socket as number {descriptor}: {error.strerror}") from None
    try:
        passed.set_inheritable(False)
        return _what_it_serves(passed)
    except BaseException:
        passed.close()
        raise


def _what_it_serves(passed: socket.socket) -> Endpoint:
    where = passed.getsockname()
    if passed.type == socket.SOCK_STREAM and not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise CannotListen(
            f"systemd passed a connection as number {passed.fileno()}: the socket's unit needs Accept=no"
        )
    match passed.family, passed.type:
        case ((socket.AF_INET | socket.AF_INET6), socket.SOCK_STREAM):
            return InternetEndpoint("tcp", _address(passed.family, where), passed)
        case ((socket.AF_INET | socket.AF_INET6), socket.SOCK_DGRAM):
            return InternetEndpoint("udp", _address(passed.family, where), passed)
        case socket.AF_UNIX, socket.SOCK_STREAM if where and isinstance(where, str):
            return UnixEndpoint("unix", Path(where), passed)
        case socket.AF_UNIX, socket.SOCK_DGRAM if where and isinstance(where, str):
            return UnixEndpoint("unixgram", Path(where), passed)
    raise CannotListen(
        f"systemd passed a socket that cannot be served as number {passed.fileno()}; the socket's unit needs "
        "ListenStream= or ListenDatagram= with an address or a path"
    )


def _address(family: int, where: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    host, port, *rest = where
    loopback = ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    return Address(socket.AddressFamily(family), str(host), int(port), loopback, int(rest[1]) if rest else 0)
