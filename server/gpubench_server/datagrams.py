"""``ping`` and ``status`` by datagram: over UDP, and over Unix datagram sockets.

Whoever sends a datagram can name another's address as its own, so an answer is never longer than its
question: nobody can flood another with the server's answers. A datagram that is not a question gets no
answer at all, so two servers cannot keep each other busy with errors.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import socketserver
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gpubench.errors import LimitExceeded, ProtocolError
from gpubench.protocol.messages import MAX_DATAGRAM_BYTES, Request
from gpubench.protocol.validation import decode_request
from gpubench_server.addresses import Endpoint, InternetEndpoint, UnixEndpoint, bound_host_port
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.encode import error_line
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Outbox
from gpubench_server.principals import DATAGRAMS
from gpubench_server.session import Session
from gpubench_server.transports import UnixMixIn, listen
from gpubench_server.unix_sockets import CREDENTIALS, UnixAccess, credentials_uid

log = logging.getLogger(__name__)


class DatagramService:
    """Answers questions; every datagram is counted by its outcome."""

    def __init__(
        self,
        respond: Callable[[Session, bytes, Outbox], bytes | None],
        authenticator: Authenticator,
        metrics: MetricsState,
    ) -> None:
        self._respond = respond
        self._session = Session(
            authenticator, Origin("a datagram", confidential=False, transport="datagram"), DATAGRAMS
        )
        self.count = metrics.datagram
        # No method that is answered by datagram posts anything.
        self._no_outbox = Outbox(lambda: None, heartbeat_seconds=1.0, progress_interval_seconds=1.0)

    def answer(self, question: bytes) -> bytes | None:
        """No longer than the question; None if there is no answer."""
        request = self._request(question)
        if request is None or request.id is msgspec.UNSET:
            return None
        answer = self._respond(self._session, question, self._no_outbox)
        if answer is None or len(answer) <= len(question):
            self.count("answered")
            return answer
        self.count("unpadded")
        refusal = LimitExceeded(
            f"the answer has {len(answer)} bytes, more than the question: pad that with spaces, to at most "
            f"{MAX_DATAGRAM_BYTES} bytes, or ask over tcp:// or unix://"
        )
        answer = error_line(request.id, refusal)
        return answer if len(answer) <= len(question) else None

    def _request(self, question: bytes) -> Request | None:
        """What was asked, if it is a request at all; one without an id can have no answer."""
        if len(question) > MAX_DATAGRAM_BYTES:
            self.count("too_long")
            return None
        try:
            request = decode_request(question)
        except ProtocolError:
            self.count("malformed")
            return None
        if request.id is msgspec.UNSET:
            self.count("malformed")
        return request


def datagram_server(endpoint: Endpoint, service: DatagramService, access: UnixAccess) -> UDPServer:
    """A server that listens. Raises ``CannotListen``."""
    if isinstance(endpoint, UnixEndpoint):
        return UnixDatagramServer(endpoint, service, access)
    return UDPServer(endpoint, service)


class UDPServer(socketserver.UDPServer):
    """One thread for all: an answer takes no time, and is dropped where it would have to wait."""

    max_packet_size = MAX_DATAGRAM_BYTES + 1  # one more shows that a datagram was cut
    turned_at = math.inf
    """When the loop last came round, on the monotonic clock."""

    def __init__(self, endpoint: InternetEndpoint, service: DatagramService) -> None:
        self._service = service
        self.address_family = endpoint.address.family
        super().__init__(endpoint.address.bindable, socketserver.BaseRequestHandler, bind_and_activate=False)
        listen(self, endpoint)
        self.url = f"{endpoint.scheme}://{bound_host_port(self.socket)}"

    def service_actions(self) -> None:
        self.turned_at = time.monotonic()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._answer(request[0], client_address)

    def _answer(self, question: bytes, client_address: Any) -> None:
        answer = self._service.answer(question)
        if answer is not None:
            try:
                self.send(answer, client_address)
            except OSError:
                self._service.count("unanswerable")

    def send(self, answer: bytes, client_address: Any) -> None:
        """Without waiting; raises ``OSError``."""
        self.socket.sendto(answer, socket.MSG_DONTWAIT, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("a datagram could not be answered")


class UnixDatagramServer(UnixMixIn, UDPServer, socketserver.UnixDatagramServer):
    """The same on this machine, for those whom ``access`` admits."""

    def __init__(self, endpoint: UnixEndpoint, service: DatagramService, access: UnixAccess) -> None:
        self._service = service
        self.at_path(endpoint, access)
        self.address_family = socket.AF_UNIX
        socketserver.UnixDatagramServer.__init__(self, str(endpoint.path), socketserver.BaseRequestHandler)

    def server_bind(self) -> None:
        super().server_bind()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def server_close(self) -> None:
        with contextlib.ExitStack() as each:
            each.callback(super().server_close)
            self.remove_file()

    def get_request(self) -> tuple[Any, Any]:
        # Room for the credentials alone: file descriptors that a client passes are never taken.
        room = socket.CMSG_LEN(CREDENTIALS.size)
        data, ancillary, _, address = self.socket.recvmsg(self.max_packet_size, room)
        return (data, credentials_uid(ancillary)), address

    def finish_request(self, request: Any, client_address: Any) -> None:
        question, uid = request
        if uid is None or not self._access.admits(uid):
            self._service.count("forbidden")
        elif not isinstance(client_address, bytes):
            # No name at all, or a path, which the client could have made a link to another program's
            # socket: the server must not write there in its place. So names must be abstract.
            self._service.count("unanswerable")
        else:
            self._answer(question, client_address)

    def send(self, answer: bytes, client_address: Any) -> None:
        # What a client has not read yet counts as unsent for the socket that sent it: of one for all, a
        # client that never reads would take all the room.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answering:
            answering.sendto(answer, socket.MSG_DONTWAIT, client_address)
