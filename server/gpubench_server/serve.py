"""``gpubench-server`` without a command: from options to a server that runs until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpubench.atomic_files import write_file
from gpubench.devices.process_limits import limit_reached
from gpubench.errors import GpubenchError, InvalidParameters, MissingDependency
from gpubench_server.addresses import Endpoint, parse_endpoint
from gpubench_server.announcements import ANNOUNCE, Announce
from gpubench_server.http_options import http_port, https_urls
from gpubench_server.limits import Limits, changed
from gpubench_server.logs import Log
from gpubench_server.open_files import make_room_for_files
from gpubench_server.options import DEFAULT_LISTEN, RUNTIMES
from gpubench_server.places import MAX_ENDING
from gpubench_server.security import Security, check_reach, security, with_tls
from gpubench_server.signals import ServerSignals
from gpubench_server.systemd import Systemd
from gpubench_server.unix_sockets import UnixAccess

_ADDRESS_KEYS = {"tcp", "tls", "unix", "udp", "unixgram", "http"}
"""What an address file can have."""

_LOG_SECONDS = 2.0

_EXTRA = ("prometheus_client", "starlette", "uvicorn", "h11", "jinja2")
"""What the extra ``server`` installs."""


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; returns the exit code."""
    writer = Log(sys.stderr, options.log_level.upper(), options.log_format)
    say = ANNOUNCE[options.log_format]
    code = 1
    try:
        code = _serve(options, say)
    except GpubenchError as error:
        say(error.message, logging.CRITICAL)
        code = 2 if isinstance(error, InvalidParameters) else 1
    except (OSError, MemoryError, RuntimeError) as error:
        reached = limit_reached(error)
        if reached is None:
            raise
        say(reached.message, logging.CRITICAL)
    finally:
        if not writer.end(_LOG_SECONDS):
            os._exit(code)  # the interpreter would wait for the stream when it ends
    return code


def _serve(options: argparse.Namespace, say: Announce) -> int:
    try:
        from gpubench_server.app import Server, Settings
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        raise MissingDependency(
            f"the server needs {missing.replace('_', '-')}, which is not installed; "
            "run pip install '.[server]' in the checkout"
        ) from None
    if options.address_file is not None:
        check_replaceable(options.address_file)
    systemd = Systemd(os.environ)
    passed = with_tls(systemd.endpoints()) if options.tls_cert is not None else systemd.endpoints()
    endpoints = endpoints_of(options.listen, passed)
    chosen = security(options, endpoints, https_urls(options))
    check_reach(endpoints, chosen, options.insecure)
    check_gateway(options, chosen)
    http, http_settings = http_port(options, chosen)
    limits = changed(Limits(), options.limit)
    signals = ServerSignals()
    signals.install()
    server = Server(
        Settings(
            listen=endpoints,
            http=http,
            data_directory=options.data_dir,
            runtimes=RUNTIMES[options.runtime],
            limits=limits,
            unix=UnixAccess(
                options.unix_mode, frozenset(options.unix_user) or None, frozenset(options.gateway_user)
            ),
            security=chosen,
            http_settings=http_settings,
        ),
        signals,
    )
    with contextlib.closing(server):
        # As many as are served may have been refused a moment ago, and are still open.
        of_lines = len(endpoints) * (2 * limits.max_connections + MAX_ENDING)
        make_room_for_files(of_lines + 3 * limits.http_connections)
        server.start()
        say(f"listening on {', '.join(server.urls)} and {server.http_url}", logging.INFO)
        with _addresses_in(options.address_file, _addresses(server.urls, server.http_url)):
            systemd.ready([*server.urls, server.http_url])
            server.watch(systemd)
            server.run_until(signals, systemd.stopping)
    return 0


def endpoints_of(urls: Sequence[str], passed: Sequence[Endpoint]) -> list[Endpoint]:
    """What to listen on: the sockets that systemd passed, and what was asked for.

    Raises ``InvalidParameters`` and ``CannotListen``.
    """
    endpoints = [*passed, *(parse_endpoint(url) for url in urls)]
    if not endpoints:
        endpoints = [parse_endpoint(DEFAULT_LISTEN)]
    if all(endpoint.scheme in ("udp", "unixgram") for endpoint in endpoints):
        raise InvalidParameters(
            f"{', '.join(map(str, endpoints))}: only ping and status are answered by datagram; for "
            f"everything else add --listen {DEFAULT_LISTEN}"
        )
    return endpoints


def check_gateway(options: argparse.Namespace, chosen: Security) -> None:
    """Raises ``InvalidParameters`` if clients of a gateway could not be told apart."""
    if options.gateway_user and chosen.token_file is None:
        raise InvalidParameters(
            "--gateway-user needs --tokens FILE too: a gateway's clients are identified by their tokens"
        )


def check_replaceable(path: Path) -> None:
    """Raises ``InvalidParameters`` for a file that no server wrote: it would be replaced and removed."""
    try:
        before = path.read_bytes() if path.is_file() else b""
        known = not before or not _ADDRESS_KEYS.isdisjoint(json.loads(before))
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise InvalidParameters(
            f"the address file {path} exists, and is not a server's address file; choose another name"
        )


def _addresses(urls: Sequence[str], http_url: str) -> dict[str, str]:
    """The first address of each scheme: what a client on this machine needs."""
    by_scheme = {url.partition("://")[0]: url for url in reversed(urls)}
    return {**by_scheme, "http": http_url}


@contextlib.contextmanager
def _addresses_in(path: Path | None, addresses: dict[str, str]) -> Iterator[None]:
    """Keep the addresses in a file, if one was asked for, for as long as the server listens."""
    if path is None:
        yield
        return
    text = json.dumps(addresses) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        yield
        return
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise InvalidParameters(f"the address file {path} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        # Not ours to remove: a pipe, a device, or what a link leads to.
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)
