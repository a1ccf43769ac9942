"""The servers of the benchmark protocol: over TCP, and over Unix sockets."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpubench.errors import Forbidden
from gpubench_server.addresses import Endpoint, InternetEndpoint, UnixEndpoint, bound_host_port
from gpubench_server.encode import error_line
from gpubench_server.metrics_state import MetricsState
from gpubench_server.peer import ADMINISTRATOR, USER, Peer
from gpubench_server.transports import BoundedMixIn, adopt, listen
from gpubench_server.unix_sockets import SocketFile, UnixAccess, peer_uid


@dataclass(frozen=True)
class LineService:
    """What answers the lines, and the bounds of each server that serves them."""

    serve: Callable[[socket.socket, Peer], None]
    max_connections: int
    linger_seconds: float
    refusal: bytes
    """What a connection above ``max_connections`` gets."""
    metrics: MetricsState


def line_server(endpoint: Endpoint, service: LineService, access: UnixAccess) -> LineServer:
    """A server that listens; TLS would be a further subclass, which shakes hands in ``finish_request``.

    Raises ``CannotListen``.
    """
    if isinstance(endpoint, UnixEndpoint):
        return UnixLineServer(endpoint, service, access)
    return LineServer(endpoint, service)


class LineServer(BoundedMixIn, socketserver.TCPServer):
    """The benchmark protocol over TCP."""

    def __init__(self, endpoint: InternetEndpoint, service: LineService) -> None:
        address = endpoint.address
        self.serve_lines(service)
        self._inherited = endpoint.inherited
        self.address_family = address.family
        super().__init__(address.bindable, socketserver.BaseRequestHandler, bind_and_activate=False)
        listen(self, address)
        self.url = f"{endpoint.scheme}://{bound_host_port(self.socket)}"

    def server_bind(self) -> None:
        if self._inherited is None:
            super().server_bind()
        else:
            adopt(self, self._inherited)

    def serve_lines(self, service: LineService) -> None:
        """Set what answers; must precede the constructor of socketserver."""
        self._service = service
        self.bound(service.max_connections, service.linger_seconds, service.refusal, service.metrics)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._service.serve(request, USER)


class UnixLineServer(LineServer, socketserver.UnixStreamServer):
    """The benchmark protocol over a Unix socket, for those whom ``access`` admits."""

    def __init__(self, endpoint: UnixEndpoint, service: LineService, access: UnixAccess) -> None:
        self.serve_lines(service)
        self.url = str(endpoint)
        self._path = endpoint.path
        self._inherited = endpoint.inherited
        self._access = access
        self._file: SocketFile | None = None
        socketserver.UnixStreamServer.__init__(self, str(endpoint.path), socketserver.BaseRequestHandler)

    def server_bind(self) -> None:
        # If anything fails from here on, the base class calls `server_close`.
        if self._inherited is None:
            self._file = SocketFile(self._path, socket.SOCK_STREAM)
            self._file.bind(self.socket, self._access.mode)
        else:
            adopt(self, self._inherited)

    def stop_listening(self) -> None:
        if self._file is not None:
            self._file.remove()
        super().stop_listening()

    def process_request(self, request: Any, client_address: Any) -> None:
        uid = peer_uid(request)
        if self._access.admits(uid):
            super().process_request(request, client_address)
            return
        self._count_rejected("forbidden")
        refusal = Forbidden(
            f"user {uid} may not use this server; its operator can allow it with --unix-user {uid}"
        )
        self._refuse(request, error_line(None, refusal))

    def finish_request(self, request: Any, client_address: Any) -> None:
        administers = self._access.administers(peer_uid(request))
        self._service.serve(request, ADMINISTRATOR if administers else USER)
