"""The standard library's ``socketserver`` classes, with their known faults corrected.

Each correction is explained where it is made. Nothing here knows the protocol: a server is given a
function that serves one connected socket.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpubench.errors import CannotListen
from gpubench_server.metrics_state import MetricsState

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""How often ``serve_forever`` checks for a shutdown; the default of 0.5 s makes every stop slow."""

_SHORT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACK_OFF_SECONDS = 0.1

_BACKLOG = 128
"""The default of socketserver, 5, refuses a burst of clients."""


@dataclass(frozen=True)
class Address:
    """A resolved address to listen on."""

    family: socket.AddressFamily
    host: str
    port: int
    loopback: bool
    scope: int = 0
    """The interface of a link-local IPv6 address; 0 for all others."""

    @property
    def bindable(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as ``socket.bind`` takes it."""
        if self.family == socket.AF_INET6:
            return self.host, self.port, 0, self.scope
        return self.host, self.port


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


class BoundedMixIn(socketserver.ThreadingMixIn):
    """One thread for each connection, at most ``max_connections`` of them.

    A further connection gets ``refusal`` and is closed, without a thread.
    """

    daemon_threads = True
    block_on_close = False  # else `server_close` waits for every idle client, without a time-out

    max_connections: int
    linger_seconds: float
    refusal: bytes

    def bound(
        self, max_connections: int, linger_seconds: float, refusal: bytes, metrics: MetricsState | None = None
    ) -> None:
        """Set the bounds and the metrics to count in; must precede the constructor of socketserver."""
        self.max_connections = max_connections
        self.linger_seconds = linger_seconds
        self.refusal = refusal
        self._metrics = metrics
        self._free = threading.BoundedSemaphore(max_connections)
        # `ThreadingMixIn._threads` would not do: it only grows, and has no sockets.
        self._live: set[socket.socket] = set()
        self._live_changed = threading.Condition()
        self._refused: deque[tuple[float, socket.socket]] = deque()

    @property
    def open_connections(self) -> int:
        return len(self._live)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether all connections ended within the time."""
        with self._live_changed:
            return self._live_changed.wait_for(lambda: not self._live, timeout_seconds)

    def end_input(self) -> None:
        """As if every client had ended its requests: the responses that they wait for are still sent."""
        self._shut_down(socket.SHUT_RD)

    def cut_connections(self) -> None:
        """Disconnect all clients, which ends their threads."""
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        with self._live_changed:
            for connection in self._live:
                with contextlib.suppress(OSError):
                    connection.shutdown(how)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            connection, address = super().get_request()  # type: ignore[misc]
        except OSError as error:
            if error.errno in _SHORT_OF_RESOURCES:
                # `serve_forever` ignores the error and the socket stays readable, so it would spin.
                log.warning("cannot accept a connection: %s; trying again", error.strerror)
                self._count_rejected("resources")
                time.sleep(_BACK_OFF_SECONDS)
            raise
        try:
            tune(connection)
            return connection, address
        except BaseException:  # some systems refuse options of a connection that was reset already
            connection.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._count_rejected("too_many")
            self._refuse(request)
            return
        try:
            with self._live_changed:
                self._live.add(request)
            threading.Thread(
                target=self._serve_and_release, args=(request, client_address), daemon=True, name="connection"
            ).start()
        except RuntimeError:  # no more threads; the base class would keep one that never started
            self._release(request)
            log.warning("cannot start a thread for a connection")
            self._count_rejected("resources")
            self._refuse(request)
            return
        except BaseException:  # socketserver closes the connection and goes on
            self._release(request)
            raise
        if self._metrics is not None:
            self._metrics.connection_accepted()

    def _count_rejected(self, reason: str) -> None:
        if self._metrics is not None:
            self._metrics.connection_rejected(reason)

    def service_actions(self) -> None:
        """Called between accepts: close the refused sockets whose time is over."""
        now = time.monotonic()
        while self._refused and self._refused[0][0] <= now:
            self._refused.popleft()[1].close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # The default writes a traceback to stderr instead of the log.
        log.exception("the thread of a connection failed")

    def server_close(self) -> None:
        super().server_close()
        while self._refused:
            self._refused.popleft()[1].close()

    def _serve_and_release(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._release(request)

    def _release(self, request: socket.socket) -> None:
        with self._live_changed:
            self._live.discard(request)
            self._live_changed.notify_all()
        self._free.release()

    def _refuse(self, request: socket.socket) -> None:
        request.setblocking(False)
        with contextlib.suppress(OSError):
            request.send(self.refusal)
            request.shutdown(socket.SHUT_WR)
        # Closed a moment later: closing with unread input resets the connection, and the reset can
        # overtake the refusal. If very many are refused, the oldest is closed at once.
        if len(self._refused) >= self.max_connections:
            self._refused.popleft()[1].close()
        self._refused.append((time.monotonic() + self.linger_seconds, request))


def tune(connection: socket.socket) -> None:
    # Without NODELAY, a response in two small writes takes 40 ms.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A peer that lost its power sends nothing. Silent connections are probed. While sent data are not
    # acknowledged there are no probes, and without the last option (in ms) the data would be repeated for
    # a quarter of an hour, with the device in use meanwhile.
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 30_000),
    ):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def listen(listener: socket.socket, address: Address) -> None:
    """Bind and listen; raises ``CannotListen`` with the address and what to do, the socket closed."""
    try:
        # Else a restart has to wait for the TIME_WAIT of old connections.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6 and address.host == "::":
            # One socket for IPv4 and IPv6, whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address.bindable)
        listener.listen(_BACKLOG)
    except BaseException as error:
        listener.close()
        where = host_port(address.host, address.port)
        if isinstance(error, OverflowError):
            raise CannotListen(f"port {address.port} is not valid; allowed: 0 to 65535") from None
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"{where} is in use by another program; stop that program, or choose another port "
                "(0 for any free port)"
            ) from None
        raise CannotListen(f"cannot listen on {where}: {error.strerror}") from None


class LineServer(BoundedMixIn, socketserver.TCPServer):
    """The TCP server of the benchmark protocol; ``serve`` is called with each connected socket."""

    def __init__(
        self,
        address: Address,
        serve: Callable[[socket.socket], None],
        *,
        max_connections: int,
        linger_seconds: float,
        refusal: bytes,
        metrics: MetricsState,
    ) -> None:
        self.bound(max_connections, linger_seconds, refusal, metrics)
        self.address_family = address.family
        self._serve = serve
        super().__init__(address.bindable, socketserver.BaseRequestHandler, bind_and_activate=False)
        listen(self.socket, address)
        self.server_address = self.socket.getsockname()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._serve(request)
