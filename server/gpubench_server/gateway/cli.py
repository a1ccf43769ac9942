"""The command ``gpubench-server gateway``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from gpubench.command_line import Parser
from gpubench.errors import GpubenchError, InvalidParameters, Unreachable
from gpubench.protocol.messages import DEFAULT_PORT
from gpubench_server import log_formats
from gpubench_server.addresses import Endpoint, InternetEndpoint, UnixEndpoint, parse_endpoint
from gpubench_server.announcements import ANNOUNCE, Announce
from gpubench_server.authentication import Authenticator
from gpubench_server.gateway.child import Service
from gpubench_server.gateway.core import Core
from gpubench_server.gateway.log import logging_to
from gpubench_server.gateway.privileges import become, confine, user_for
from gpubench_server.gateway.server import Gateway
from gpubench_server.limits import Limits, changed
from gpubench_server.metrics_state import MetricsState
from gpubench_server.security import Security, security, with_tls
from gpubench_server.systemd import Systemd
from gpubench_server.tls import Tls

log = logging.getLogger(__name__)

LIMITS = (
    "max_connections",
    "max_connections_per_second",
    "handshake_seconds",
    "authentication_seconds",
    "authentication_delay_seconds",
    "max_tokens_per_minute",
    "max_bad_lines_per_second",
    "line_deadline_seconds",
    "send_deadline_seconds",
    "linger_seconds",
    "drain_seconds",
)
"""Those of the server that the gateway keeps; the rest is up to the server behind it."""

_STDERR = 2

DEFAULT_LISTEN = f"tls://127.0.0.1:{DEFAULT_PORT}"


def run(words: Sequence[str]) -> int:
    """Serve until a signal ends it; returns the exit code. Raises ``InvalidParameters``."""
    options = command_parser().parse(words)
    announce = ANNOUNCE[options.log_format]
    with logging_to(_STDERR, options.log_level.upper(), options.log_format):
        try:
            _serve(options, announce)
        except InvalidParameters:
            raise
        except GpubenchError as error:
            announce(error.message, logging.CRITICAL)
            return 1
    return 0


def _serve(options: argparse.Namespace, announce: Announce) -> None:
    core = Core(_core_path(options.core))
    systemd = Systemd(os.environ)
    passed = with_tls(systemd.endpoints()) if options.tls_cert is not None else systemd.endpoints()
    endpoints = _endpoints([*passed, *(parse_endpoint(url) for url in options.listen)])
    chosen = _security(options, endpoints)
    user = user_for(options.user)
    limits = changed(Limits(), [_known(setting) for setting in options.limit])
    tls = None if chosen.tls is None else Tls(chosen.tls)
    uid = os.geteuid() if user is None else user.uid
    authenticator = Authenticator(chosen.token_file, None, limits, MetricsState(), gateway_uid=uid)
    with Gateway(endpoints, Service(core, limits, tls), authenticator) as gateway:
        if user is not None:
            become(user)
            log.info("became user %s", user.name)
            _warn_of_unreadable(chosen, authenticator, user.name)
        confine()
        _probe(core)
        announce(f"gateway listening on {', '.join(gateway.urls)} for {options.core}", logging.INFO)
        gateway.serve(systemd)


def _warn_of_unreadable(chosen: Security, authenticator: Authenticator, user: str) -> None:
    """Of files that root has read, and that this user may not read again."""
    if chosen.token_file is not None and not _is_readable(chosen.token_file):
        authenticator.keep()
        log.warning(
            "user %s cannot read %s: new and revoked tokens take effect only after a restart",
            user,
            chosen.token_file,
        )
    if chosen.tls is not None and not (_is_readable(chosen.tls.certificate) and _is_readable(chosen.tls.key)):
        log.warning(
            "user %s cannot read the TLS key: a new certificate takes effect only after a restart", user
        )


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False


def _probe(core: Core) -> None:
    """Raises ``InvalidParameters`` if the server takes the gateway for a client with rights of its own."""
    try:
        core.probe()
    except InvalidParameters:
        raise
    except Unreachable as error:
        log.warning(
            "unix://%s: %s; clients get the error unreachable until it does", core.path, error.message
        )
    except GpubenchError as error:
        log.warning("unix://%s answers: %s", core.path, error.message)


def _endpoints(found: Sequence[Endpoint]) -> list[InternetEndpoint]:
    """Raises ``InvalidParameters`` for what is not TCP or TLS, and for TCP that other machines can reach."""
    chosen: list[InternetEndpoint] = []
    for endpoint in found or [parse_endpoint(DEFAULT_LISTEN)]:
        if not isinstance(endpoint, InternetEndpoint) or endpoint.scheme == "udp":
            raise InvalidParameters(
                f"{endpoint}: a gateway listens on tls://HOST:PORT, or on tcp://HOST:PORT of this machine"
            )
        if endpoint.scheme == "tcp" and endpoint.exposed:
            raise InvalidParameters(
                f"{endpoint} can be reached from other machines, and lacks encryption, which tokens need; "
                "use --listen tls://HOST:PORT with --tls-cert FILE"
            )
        chosen.append(endpoint)
    return chosen


def _security(options: argparse.Namespace, endpoints: Sequence[InternetEndpoint]) -> Security:
    """Raises ``InvalidParameters`` for options that do not fit together, and without tokens."""
    if options.tls_client_ca is not None:
        raise InvalidParameters(
            "--tls-client-ca: a gateway takes no client certificates, because the server behind it could not "
            "check whose they are; give those clients tokens, or an address of the server itself"
        )
    if options.tokens is None:
        raise InvalidParameters(
            "the gateway needs --tokens FILE, the tokens of the server behind it: every client must show one"
        )
    return security(options, endpoints)


def _core_path(url: str) -> Path:
    endpoint = parse_endpoint(url)
    if not isinstance(endpoint, UnixEndpoint) or endpoint.scheme != "unix":
        raise InvalidParameters(
            f"--core: {url} is not allowed; allowed: unix:///PATH, a --listen of the server"
        )
    return endpoint.path


def _known(setting: str) -> str:
    name = setting.partition("=")[0]
    if name not in LIMITS:
        raise InvalidParameters(f"unknown limit {name!r}; allowed for a gateway: {', '.join(LIMITS)}")
    return setting


def command_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(
        prog="gpubench-server gateway",
        description="Serve other machines through an unprivileged process: it terminates TLS, checks tokens "
        "and every request, and relays valid requests to the server's Unix socket.",
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="URL",
        help="address for clients: tls://HOST:PORT, or tcp://HOST:PORT of this machine; may be repeated; "
        f"port 0 means any free port (default: {DEFAULT_LISTEN})",
    )
    parser.add_argument(
        "--core",
        required=True,
        metavar="URL",
        help="the server's Unix socket, unix:///PATH; the server must run with --gateway-user USER, the user "
        "of the gateway",
    )
    parser.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="the certificate for tls:// addresses, PEM, followed by its chain; read again on SIGHUP",
    )
    parser.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="its key, PEM, without a password (default: in the same file)",
    )
    parser.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        help="refused: the server behind a gateway could not check whose certificate it was",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="the server's token file, or a copy; its mode must be 600, or 640 with the gateway's group",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="switch to this user once the addresses are bound and the files are read; required if started "
        "as root",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"set a limit; may be repeated; names: {', '.join(LIMITS)}",
    )
    log_formats.add_arguments(parser)
    return parser
