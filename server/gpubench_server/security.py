"""The options about who may connect, and the rule for addresses that other machines can reach."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpubench.command_line import choice
from gpubench.errors import InvalidParameters
from gpubench_server.addresses import Endpoint, InternetEndpoint
from gpubench_server.principals import ROLES, Role
from gpubench_server.tls import TlsFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Security:
    """The files of TLS, the tokens, and the role of whoever shows a client certificate."""

    tls: TlsFiles | None = None
    token_file: Path | None = None
    certificate_role: Role | None = None

    @property
    def asks_who_clients_are(self) -> bool:
        return self.token_file is not None or self.certificate_role is not None


def add_certificate(parser: argparse.ArgumentParser, addresses: str) -> None:
    """The flags of a certificate for these addresses."""
    parser.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help=f"the certificate for {addresses} addresses, PEM, followed by its chain; read again on "
        "SIGHUP; TCP sockets that systemd passes then speak TLS too",
    )
    parser.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="its key, PEM, without a password (default: in the same file)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_certificate(parser, "tls:// and https://")
    parser.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="accept client certificates from these authorities, PEM, in place of a token",
    )
    parser.add_argument(
        "--tls-client-role",
        **choice(ROLES),
        default="run",
        help="what a client with such a certificate may do (default: run)",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="ask clients on tcp://, tls:// and the HTTP port for a token of this file, made by "
        "`gpubench-server token add`",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow addresses where other machines can reach the server without TLS or authentication, also "
        "for --http",
    )


def with_tls(passed: Sequence[Endpoint]) -> list[Endpoint]:
    """The sockets that systemd passed, whose units cannot say tls://: those of TCP speak it."""
    return [
        dataclasses.replace(each, scheme="tls")
        if isinstance(each, InternetEndpoint) and each.scheme == "tcp"
        else each
        for each in passed
    ]


def security(
    options: argparse.Namespace,
    endpoints: Sequence[Endpoint],
    https: Sequence[str] = (),
    for_tls: str = "--listen tls://HOST:PORT, or --http https://HOST:PORT",
) -> Security:
    """Raises ``InvalidParameters`` for options that do not fit together or to the addresses, of which
    ``https`` are those of HTTP over TLS. ``for_tls`` is how to ask for an address with TLS."""
    encrypted = [*(str(each) for each in endpoints if each.scheme == "tls"), *https]
    if options.tls_cert is None:
        if encrypted:
            raise InvalidParameters(
                f"{encrypted[0]} needs a certificate: add --tls-cert FILE (and --tls-key FILE)"
            )
        for flag in ("tls_key", "tls_client_ca"):
            if getattr(options, flag) is not None:
                raise InvalidParameters(f"--{flag.replace('_', '-')} needs --tls-cert FILE too")
    elif not encrypted:
        raise InvalidParameters(f"--tls-cert is for tls:// addresses; add {for_tls}")
    return Security(
        tls=None
        if options.tls_cert is None
        else TlsFiles(options.tls_cert, options.tls_key or options.tls_cert, options.tls_client_ca),
        token_file=options.tokens,
        certificate_role=options.tls_client_role if options.tls_client_ca is not None else None,
    )


def check_reach(endpoints: Sequence[Endpoint], chosen: Security, insecure: bool) -> None:
    """Raises ``InvalidParameters`` for an address beyond loopback that is not safe there.

    With ``insecure`` it is logged instead, at each start.
    """
    for endpoint in endpoints:
        if not endpoint.exposed:
            continue
        if endpoint.scheme == "udp":
            _refuse_or_warn(
                str(endpoint), "encryption and authentication, which UDP here does not have", insecure
            )
        else:
            remedy = None if endpoint.scheme == "tls" else "listen on tls://, with --tls-cert FILE"
            check_protection(str(endpoint), remedy, chosen, insecure)


def check_protection(url: str, encrypt_by: str | None, chosen: Security, insecure: bool) -> None:
    """For an address beyond loopback: it must have encryption and authentication.

    ``encrypt_by`` is how to get encryption, or None if the address has it. Raises as ``check_reach``.
    """
    missing = []
    if encrypt_by is not None:
        missing.append(f"encryption ({encrypt_by})")
    if not chosen.asks_who_clients_are:
        missing.append("authentication (--tokens FILE, or --tls-client-ca FILE)")
    if missing:
        _refuse_or_warn(url, " and ".join(missing), insecure)


def _refuse_or_warn(url: str, missing: str, insecure: bool) -> None:
    """Raises ``InvalidParameters`` unless ``insecure``."""
    if not insecure:
        raise InvalidParameters(
            f"{url} can be reached from other machines, and lacks {missing}: anybody there could read its "
            "traffic or start runs. Add what is missing, or listen on 127.0.0.1 and forward the port (ssh "
            "-L), or pass --insecure if you trust the network"
        )
    log.warning("--insecure: %s can be reached from other machines, and lacks %s", url, missing)
