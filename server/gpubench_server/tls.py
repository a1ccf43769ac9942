"""TLS on the server's side: its certificate, the handshake, and the end of a connection.

The handshake is not done where connections are accepted: one client that says nothing would keep all
others waiting. Sockets are only wrapped there, and the thread of each connection shakes hands.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubench.protocol.tls import LOWEST_VERSION, load_authorities, load_certificate, reason
from gpubench_server.limits import Limits
from gpubench_server.wrong_protocol import TLS_HANDSHAKE, answer_on_tls_port

log = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only, as every cipher of TLS 1.3 has."""

_UNTITLED = "unnamed"

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""A socket that does not block, or TLS on it, has nothing to read or no room."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the server's certificate with its chain, its key, and the authorities that clients'
    certificates must come from, if those are accepted."""

    certificate: Path
    key: Path
    client_authorities: Path | None = None


class Tls:
    """What the TLS ports share: the certificate in use, which can be replaced while they serve."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises ``InvalidParameters`` for files that cannot be used."""
        self._files = files
        self._context = _context(files)

    @property
    def context(self) -> ssl.SSLContext:
        """For one new connection: it is another one after ``reload``."""
        return self._context

    def reload(self) -> None:
        """Use the files as they are now, for new connections.

        Raises ``InvalidParameters``, and keeps what it had.
        """
        self._context = _context(self._files)

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Without a handshake; ``connection`` must not be used any more. Raises ``OSError``."""
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def shake_hands(connection: ssl.SSLSocket, limits: Limits, url: str, failed: Callable[[str], object]) -> bool:
    """Whether the client speaks TLS from now on; otherwise ``failed`` gets the reason.

    A client that speaks something else is told so in its language, as far as it is known.
    """
    try:
        connection.settimeout(limits.handshake_seconds)
        beginning = socket.socket.recv(connection, 8, socket.MSG_PEEK)
        if not beginning or beginning.startswith(TLS_HANDSHAKE):
            # One deadline for all of the handshake, however many reads it takes.
            connection.do_handshake()
            return True
    except OSError as error:
        failed(reason(error))
        return False
    failed("it does not speak TLS")
    _explain_in_clear(connection, answer_on_tls_port(beginning, url), limits.linger_seconds)
    return False


def subject_of(connection: ssl.SSLSocket | ssl.SSLObject) -> str | None:
    """The common name in the client's verified certificate, or another name in it; None without one."""
    certificate = connection.getpeercert()
    if not certificate:
        return None
    subject: Any = certificate.get("subject", ())
    others: Any = certificate.get("subjectAltName", ())
    names = [value for name in subject for key, value in name if key == "commonName"]
    names += [value for _, value in others]
    name = str(next(iter(names), None) or certificate.get("serialNumber", "")) or _UNTITLED
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:100]


def end_output(connection: socket.socket) -> None:
    """Send nothing more: in TLS that is a message of its own, without which a client suspects an attack."""
    say_goodbye(connection)
    # Not the method of SSLSocket, which would read what still comes as if it were not encrypted.
    socket.socket.shutdown(connection, socket.SHUT_WR)


def _explain_in_clear(connection: ssl.SSLSocket, answer: bytes, linger_seconds: float) -> None:
    """Send the answer to a client that does not speak TLS, and end its connection."""
    with contextlib.suppress(OSError):
        socket.socket.send(connection, answer)
        socket.socket.shutdown(connection, socket.SHUT_WR)
        discard_input(connection, linger_seconds)


def discard_input(connection: socket.socket, linger_seconds: float) -> None:
    """Until it ends, or for so long: what is left unread when a connection is closed resets it, and the reset
    overtakes the last answer. Raises ``OSError``."""
    until = time.monotonic() + linger_seconds
    while (remaining := until - time.monotonic()) > 0:
        connection.settimeout(remaining)
        if not socket.socket.recv(connection, 4096):  # also in TLS: nobody reads it
            return


def say_goodbye(connection: socket.socket) -> None:
    """In TLS, tell the client that this is the end; the first time only."""
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):
            connection.setblocking(False)
            connection.unwrap()


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = LOWEST_VERSION
    context.set_ciphers(_CIPHERS)
    # No tickets: whoever got hold of their key could read what was recorded earlier.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    # A client may end its requests without TLS's own end, and wait for the answers, as on TCP. A request that
    # an attacker cut off is none any more: no beginning of a line of JSON is valid.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    load_certificate(context, files.certificate, files.key)
    _warn_of_open_key(files.key)
    if files.client_authorities is not None:
        load_authorities(context, files.client_authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _warn_of_open_key(path: Path) -> None:
    """Others on this machine may read the key: for containers' secrets that is usual, so it is no error."""
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
        log.warning("the key %s can be read by every user of this machine; chmod o-r is safer", path)
