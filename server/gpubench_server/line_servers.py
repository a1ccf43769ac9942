"""The servers of the benchmark protocol: over TCP, with and without TLS, and over Unix sockets."""

from __future__ import annotations

import functools
import logging
import socket
import socketserver
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpubench.errors import Forbidden, InvalidParameters, LimitExceeded
from gpubench_server.addresses import Endpoint, InternetEndpoint, UnixEndpoint, bound_host_port
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.connection_rates import ConnectionRates
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.principals import Principal, unix_principal
from gpubench_server.session import Session
from gpubench_server.tls import Tls, shake_hands, subject_of
from gpubench_server.transports import BoundedMixIn, UnixMixIn, listen
from gpubench_server.unix_sockets import UnixAccess, peer_uid
from gpubench_server.wrong_protocol import TLS_REFUSAL

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineService:
    """What answers the lines, and the bounds of each server that serves them."""

    serve: Callable[[socket.socket, Session], None]
    limits: Limits
    refusal: bytes
    """What a connection above ``max_connections`` gets."""
    metrics: MetricsState
    authenticator: Authenticator
    connections: ConnectionRates
    """For all servers together."""
    access: UnixAccess
    tls: Tls | None


def line_server(endpoint: Endpoint, service: LineService) -> LineServer:
    """A server that listens.

    Raises ``CannotListen``, and ``InvalidParameters`` for TLS without a certificate.
    """
    if isinstance(endpoint, UnixEndpoint):
        return UnixLineServer(endpoint, service)
    if endpoint.scheme == "tcp":
        return LineServer(endpoint, service)
    if service.tls is None:
        raise InvalidParameters(f"{endpoint} needs a certificate: add --tls-cert FILE, and --tls-key FILE")
    return TlsLineServer(endpoint, service, service.tls)


class LineServer(BoundedMixIn, socketserver.TCPServer):
    """The benchmark protocol over TCP."""

    def __init__(self, endpoint: InternetEndpoint, service: LineService) -> None:
        self.serve_lines(service)
        self.address_family = endpoint.address.family
        super().__init__(endpoint.address.bindable, socketserver.BaseRequestHandler, bind_and_activate=False)
        listen(self, endpoint)
        self.url = f"{endpoint.scheme}://{bound_host_port(self.socket)}"

    def serve_lines(self, service: LineService) -> None:
        """Set what answers; must precede the constructor of socketserver."""
        self._service = service
        limits = service.limits
        self.bound(limits.max_connections, limits.linger_seconds, service.refusal, service.metrics)

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            self._service.connections.check(client_address[0])
        except LimitExceeded as refusal:
            self._count_rejected("rate")
            self._refuse(request, error_line(None, refusal))
        else:
            super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._serve(request, Origin.internet(client_address[0], encrypted=False), None)

    def _serve(self, request: socket.socket, origin: Origin, certificate: str | None) -> None:
        principal = self._service.authenticator.without_token(origin, certificate)
        self._serve_as(request, origin, principal)

    def _serve_as(self, request: socket.socket, origin: Origin, principal: Principal | None) -> None:
        keep_place = functools.partial(self.places.keep, request)
        self._service.serve(request, Session(self._service.authenticator, origin, principal, keep_place))


class TlsLineServer(LineServer):
    """The benchmark protocol over TLS."""

    def __init__(self, endpoint: InternetEndpoint, service: LineService, tls: Tls) -> None:
        self._tls = tls
        super().__init__(endpoint, service)

    def serve_lines(self, service: LineService) -> None:
        super().serve_lines(service)
        self.refusal = TLS_REFUSAL

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        try:
            return self._tls.wrap(connection), address
        except BaseException:
            connection.close()
            raise

    def _refuse(self, request: socket.socket, explanation: bytes) -> None:
        super()._refuse(request, TLS_REFUSAL)

    def finish_request(self, request: Any, client_address: Any) -> None:
        origin = Origin.internet(client_address[0], encrypted=True)
        failed = functools.partial(self._handshake_failed, origin)
        if shake_hands(request, self._service.limits, self.url, failed):
            self._serve(request, origin, subject_of(request))

    def _handshake_failed(self, origin: Origin, why: str) -> None:
        self._count_rejected("handshake")
        log.info("no TLS with a client at %s: %s", origin.host, why, extra=origin.log_fields)


class UnixLineServer(UnixMixIn, LineServer, socketserver.UnixStreamServer):
    """The benchmark protocol over a Unix socket, for those whom ``access`` admits."""

    def __init__(self, endpoint: UnixEndpoint, service: LineService) -> None:
        self.serve_lines(service)
        self.at_path(endpoint, service.access)
        socketserver.UnixStreamServer.__init__(self, str(endpoint.path), socketserver.BaseRequestHandler)

    def stop_listening(self) -> None:
        self.remove_file()
        super().stop_listening()

    def process_request(self, request: Any, client_address: Any) -> None:
        uid = peer_uid(request)
        if self._access.admits(uid):
            BoundedMixIn.process_request(self, request, client_address)  # its users' rate is not limited
            return
        self._count_rejected("forbidden")
        refusal = Forbidden(
            f"user {uid} may not use this server; its operator can allow it with --unix-user {uid}, or for "
            f"the user of a gateway with --gateway-user {uid}"
        )
        self._refuse(request, error_line(None, refusal))

    def finish_request(self, request: Any, client_address: Any) -> None:
        uid = peer_uid(request)
        for_others = uid in self._access.gateway_uids
        principal = None if for_others else unix_principal(uid, self._access.administers(uid))
        origin = Origin(self.url, confidential=True, transport="unix", shared=for_others)
        self._serve_as(request, origin, principal)
