"""TLS on the client's side: which servers are trusted, and the errors about those that are not."""

from __future__ import annotations

import ssl
from pathlib import Path

from gpubench.errors import GpubenchError, NotTrusted, Unreachable
from gpubench.protocol.tls import LOWEST_VERSION, load_authorities, load_certificate, reason
from gpubench_client.steps import Connect, Tls
from gpubench_client.urls import Address, ServerAddress


def context_for(tls: Tls) -> ssl.SSLContext:
    """Made from the files as they are now. Raises ``InvalidParameters`` for files that cannot be used."""
    if tls.ca_file is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        load_authorities(context, Path(tls.ca_file))
    context.minimum_version = LOWEST_VERSION
    if tls.certificate_file is not None:
        load_certificate(context, Path(tls.certificate_file), Path(tls.key_file or tls.certificate_file))
    return context


def server_name(address: ServerAddress) -> str:
    """What the certificate must name: an IPv6 address in it has no scope."""
    return address.host.partition("%")[0] if isinstance(address, Address) else ""


_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What versions of OpenSSL call clear text. In a handshake a server without TLS sends it."""


def failure(error: ssl.SSLError, connect: Connect, *, connected: bool = False) -> GpubenchError:
    """What an error of TLS on this connection means to a person; ``connected``: after the handshake."""
    where = connect.address
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrusted(f"the server at {where} is not trusted: {_distrust(error, connect)}")
    name = getattr(error, "reason", None) or ""  # an end without a farewell has none under Python 3.13
    if (name in _NO_TLS and not connected) or "HANDSHAKE_FAILURE" in name:
        return Unreachable(
            f"{where} does not speak TLS as this client does; use tcp:// if the server listens without TLS",
            retryable=False,
        )
    # A connection whose place goes to another after its handshake ends with an alert in clear text.
    if (
        name in (*_NO_TLS, "BAD_RECORD_TYPE")
        or "ALERT_INTERNAL_ERROR" in name
        or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    ):
        return Unreachable(f"{where} refuses new connections: it has too many, or is shutting down")
    if "ALERT" in name and ("CERTIFICATE" in name or "CA" in name.split("_")):
        return NotTrusted(f"{where} does not accept this client's certificate: {reason(error)}")
    return Unreachable(f"TLS with {where} failed: {reason(error)}")


def _distrust(error: ssl.SSLCertVerificationError, connect: Connect) -> str:
    match error.verify_code:  # `X509_V_ERR_...` of OpenSSL
        case 10:
            return "its certificate has expired; its operator must renew it"
        case 9:
            return "its certificate is not valid yet; compare the clocks of both machines"
        case 62 | 64:
            return (
                f"its certificate is for another host than {server_name(connect.address)}; use a name that "
                "the certificate has, in tls://NAME:PORT"
            )
        case 18 | 19 | 20 | 21:
            ca_file = connect.tls.ca_file if connect.tls else None
            known = f"the authorities in {ca_file}" if ca_file else "this system's authorities"
            return (
                f"its certificate is not signed by any of {known}; if it is the right server, name the "
                "certificate of its authority with --ca-file FILE (ca_file=...)"
            )
    return f"{error.verify_message}"
