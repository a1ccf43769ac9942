"""The standard library's ``socketserver`` classes, with their known faults corrected.

Each correction is explained where it is made. Nothing here knows a protocol.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import socket
import socketserver
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from gpubench.devices.process_limits import limit_reached
from gpubench.errors import CannotListen
from gpubench_server.addresses import Address, InternetEndpoint, UnixEndpoint
from gpubench_server.metrics_state import MetricsState
from gpubench_server.places import Places
from gpubench_server.unix_sockets import SocketFile, UnixAccess

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""How often ``serve_forever`` checks for a shutdown; the default of 0.5 s makes every stop slow."""

_SHORT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACK_OFF_SECONDS = 0.1


class AcceptingMixIn:
    """Accepts connections, and refuses those that are too many, for threads and for processes alike."""

    allow_reuse_address = True  # else a restart has to wait for the TIME_WAIT of old connections
    allow_reuse_port = False  # else two servers can share a port without an error
    request_queue_size = 1024
    """Connections that wait to be accepted; with socketserver's default of 5 a burst of clients is refused.

    If the queue is full, Linux completes handshakes by SYN cookies, and may forget a client that is silent.
    """

    max_connections: int
    linger_seconds: float
    turned_at = math.inf
    """When the accept loop last came round, on the monotonic clock."""

    def accept_at_most(
        self, max_connections: int, linger_seconds: float, metrics: MetricsState | None = None
    ) -> None:
        """Set the bounds and the metrics to count in; must precede the constructor of socketserver."""
        self.max_connections = max_connections
        self.linger_seconds = linger_seconds
        self._metrics = metrics
        self._refused: deque[tuple[float, socket.socket]] = deque()

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

    def _count_rejected(self, reason: str) -> None:
        if self._metrics is not None:
            self._metrics.connection_rejected(reason)

    def service_actions(self) -> None:
        """Called between accepts: close the refused sockets whose time is over."""
        self.turned_at = now = time.monotonic()
        super().service_actions()  # type: ignore[misc]
        while self._refused and self._refused[0][0] <= now:
            self._refused.popleft()[1].close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # The default writes a traceback to stderr instead of the log.
        error = sys.exception()
        limit = limit_reached(error) if isinstance(error, OSError) else None
        if limit is None:
            log.exception("the thread of a connection failed")
        else:
            log.warning("a connection was closed: %s", limit.message)
            self._count_rejected("resources")

    def stop_listening(self) -> None:
        """Give the address back; those who are connected stay so."""
        super().server_close()  # type: ignore[misc]

    def server_close(self) -> None:
        self.stop_listening()
        while self._refused:
            self._refused.popleft()[1].close()

    def _refuse(self, request: socket.socket, explanation: bytes) -> None:
        request.setblocking(False)
        with contextlib.suppress(OSError):
            # Not encrypted: where TLS is spoken, nobody has shaken hands yet.
            socket.socket.send(request, explanation)
            socket.socket.shutdown(request, socket.SHUT_WR)
        # Closed a moment later: closing with unread input resets the connection, and the reset can
        # overtake the refusal. If very many are refused, the oldest is closed at once.
        if len(self._refused) >= self.max_connections:
            self._refused.popleft()[1].close()
        self._refused.append((time.monotonic() + self.linger_seconds, request))


class BoundedMixIn(AcceptingMixIn, socketserver.ThreadingMixIn):
    """One thread for each connection, at most ``max_connections`` of them.

    A further connection takes the place of the oldest one that has not asked for anything yet; if there is
    none, it is closed without a thread. Whichever of the two is closed gets ``refusal`` first.
    """

    daemon_threads = True
    block_on_close = False  # else `server_close` waits for every idle client, without a time-out

    def bound(
        self, max_connections: int, linger_seconds: float, refusal: bytes, metrics: MetricsState
    ) -> None:
        """Set the bounds and the metrics to count in; must precede the constructor of socketserver."""
        self.accept_at_most(max_connections, linger_seconds, metrics)
        self.refusal = refusal
        # `ThreadingMixIn._threads` would not do: it only grows, and has no sockets.
        self.places = Places(max_connections, self._dismiss)

    @property
    def open_connections(self) -> int:
        return self.places.taken

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether all connections ended within the time."""
        return self.places.wait_until_empty(timeout_seconds)

    def end_input(self) -> None:
        """As if every client had ended its requests: the responses that they wait for are still sent."""
        self.places.shut_down(socket.SHUT_RD)

    def cut_connections(self) -> None:
        """Disconnect all clients, which ends their threads."""
        self.places.shut_down(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            if not self.places.take(request):
                self._count_rejected("too_many")
                self._refuse(request, self.refusal)
                return
            threading.Thread(
                target=self._serve_and_release, args=(request, client_address), daemon=True, name="connection"
            ).start()
        except RuntimeError:  # no more threads; the base class would keep one that never started
            self.places.release(request)
            log.warning("cannot start a thread for a connection")
            self._count_rejected("resources")
            self._refuse(request, self.refusal)
            return
        except BaseException:  # socketserver closes the connection and goes on
            self.places.release(request)
            raise

    def _serve_and_release(self, request: socket.socket, client_address: Any) -> None:
        try:
            if self._metrics is not None:  # before anything is answered: who asks then finds itself counted
                self._metrics.connection_accepted()
            self.process_request_thread(request, client_address)
        finally:
            self.places.release(request)

    def shutdown_request(self, request: Any) -> None:
        self.places.detach(request)
        super().shutdown_request(request)  # type: ignore[misc]

    def _dismiss(self, request: socket.socket) -> None:
        """End a connection whose place goes to another; its thread notices and closes it."""
        self._count_rejected("replaced")
        with contextlib.suppress(OSError):
            socket.socket.send(request, self.refusal, socket.MSG_DONTWAIT)
            socket.socket.shutdown(request, socket.SHUT_RDWR)


class UnixMixIn(socketserver.TCPServer):
    """Listens on a Unix socket. The base class calls ``server_close`` if binding fails anywhere."""

    def at_path(self, endpoint: UnixEndpoint, access: UnixAccess) -> None:
        """Set where to listen, and who may connect; must precede the constructor of socketserver."""
        self.url = str(endpoint)
        self._endpoint = endpoint
        self._access = access
        self._file: SocketFile | None = None

    def server_bind(self) -> None:
        if self._endpoint.inherited is None:
            self._file = SocketFile(self._endpoint.path, socket.SocketKind(self.socket_type))
            self._file.bind(self.socket, self._access.mode)
        else:
            _adopt(self, self._endpoint.inherited)

    def remove_file(self) -> None:
        """Remove the socket's file, if this server made it; nothing the second time."""
        if self._file is not None:
            self._file.remove()


def tune(connection: socket.socket) -> None:
    """Options of an accepted connection."""
    if connection.family == socket.AF_UNIX:
        return
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


def listen(server: socketserver.TCPServer, endpoint: InternetEndpoint) -> None:
    """Bind and listen; raises ``CannotListen`` with the address and what to do, the server closed."""
    try:
        with _explained(endpoint.address):
            if endpoint.inherited is None:
                _take_both_families(server.socket, endpoint.address)
                server.server_bind()
            else:
                _adopt(server, endpoint.inherited)
            server.server_activate()
    except BaseException:
        server.server_close()
        raise


def listening_socket(address: Address) -> socket.socket:
    """For a server that is not one of ``socketserver``; raises ``CannotListen`` in the same way."""
    listener = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        with _explained(address):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _take_both_families(listener, address)
            listener.bind(address.bindable)
            listener.listen(BoundedMixIn.request_queue_size)
    except BaseException:
        listener.close()
        raise
    return listener


def _take_both_families(listener: socket.socket, address: Address) -> None:
    """One socket for IPv4 and IPv6, whatever the system's default is."""
    if address.family == socket.AF_INET6 and address.host == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


@contextlib.contextmanager
def _explained(address: Address) -> Iterator[None]:
    try:
        yield
    except OverflowError:
        raise CannotListen(f"port {address.port} is not valid; allowed: 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"{address} is in use by another program; stop that program, or choose another port "
                "(0 for any free port)"
            ) from None
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None


def _adopt(server: socketserver.TCPServer, inherited: socket.socket) -> None:
    """Serve a socket that whoever started the server has bound."""
    server.socket.close()
    server.socket = inherited
    server.server_address = inherited.getsockname()
