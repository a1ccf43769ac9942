"""The command ``gpubench-server gateway``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from gpubench.errors import GpubenchError, InvalidParameters, Unreachable
from gpubench_server.addresses import Endpoint, InternetEndpoint, parse_endpoint
from gpubench_server.announcements import ANNOUNCE, Announce
from gpubench_server.authentication import Authenticator
from gpubench_server.configuration import configure
from gpubench_server.gateway.child import Service
from gpubench_server.gateway.core import Core
from gpubench_server.gateway.log import logging_to
from gpubench_server.gateway.metrics_file import MetricsFile
from gpubench_server.gateway.options import DEFAULT_LISTEN, GATEWAY, client_endpoint, core_path
from gpubench_server.gateway.privileges import become, confine, user_for
from gpubench_server.gateway.server import Gateway
from gpubench_server.limits import Limits, changed
from gpubench_server.metrics_state import MetricsState
from gpubench_server.open_files import make_room_for_files
from gpubench_server.places import MAX_ENDING
from gpubench_server.security import Security, security, with_tls
from gpubench_server.systemd import Systemd
from gpubench_server.tls import Tls

log = logging.getLogger(__name__)

_STDERR = 2


def run(words: Sequence[str]) -> int:
    """Serve until a signal ends it; returns the exit code. Raises as ``configure`` does."""
    options = configure(words, os.environ, GATEWAY).options
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
    core = core_of(options)
    systemd = Systemd(os.environ)
    passed = with_tls(systemd.endpoints()) if options.tls_cert is not None else systemd.endpoints()
    endpoints = endpoints_of(options.listen, passed)
    tokens = tokens_of(options)
    chosen = security_of(options, endpoints)
    user = user_for(options.user)
    limits = changed(Limits(), options.limit)
    tls = None if chosen.tls is None else Tls(chosen.tls)
    uid = os.geteuid() if user is None else user.uid
    authenticator = Authenticator(tokens, None, limits, MetricsState(), gateway_uid=uid)
    # Of each client the link to its child and, for a moment, the connection: until its token was valid, or as
    # that of one that was refused.
    make_room_for_files(3 * (limits.max_connections + MAX_ENDING))
    metrics_file = MetricsFile(options.metrics_file)
    with Gateway(endpoints, Service(core, limits, tls), authenticator, metrics_file) as gateway:
        if user is not None:
            become(user)
            log.info("became user %s", user.name)
            _warn_of_unreadable(chosen, authenticator, user.name)
        confine()
        _probe(core)
        metrics_file.begin(gateway.snapshot())
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


def endpoints_of(urls: Sequence[str], passed: Sequence[Endpoint]) -> list[InternetEndpoint]:
    """What to listen on: the sockets that systemd passed, and what was asked for.

    Raises ``InvalidParameters`` and ``CannotListen``.
    """
    found = [*passed, *(parse_endpoint(url) for url in urls)] or [parse_endpoint(DEFAULT_LISTEN)]
    return [client_endpoint(endpoint) for endpoint in found]


def security_of(options: argparse.Namespace, endpoints: Sequence[InternetEndpoint]) -> Security:
    """Raises ``InvalidParameters`` for options that do not fit together."""
    return security(options, endpoints, for_tls="--listen tls://HOST:PORT")


def tokens_of(options: argparse.Namespace) -> Path:
    """The token file. Raises ``InvalidParameters`` without one."""
    if options.tokens is None:
        raise _missing("tokens", "the tokens of the server behind it, of which every client must show one")
    return Path(options.tokens)


def core_of(options: argparse.Namespace) -> Core:
    """Raises ``InvalidParameters`` without one."""
    if options.core is None:
        raise _missing("core", "the server's Unix socket, as in unix:///run/gpubench/gateway.sock")
    return Core(core_path(options.core))


def _missing(key: str, what: str) -> InvalidParameters:
    return InvalidParameters(f"the gateway needs {GATEWAY.options[key].ways}: {what}")
