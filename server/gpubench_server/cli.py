"""The command ``gpubench-server``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

import gpubench
from gpubench.atomic_files import write_file
from gpubench.command_line import Parser, choice
from gpubench.devices.process_limits import limit_reached
from gpubench.errors import GpubenchError, InvalidParameters, MissingDependency
from gpubench.protocol.messages import DEFAULT_HTTP_PORT, DEFAULT_PORT
from gpubench.standard_streams import with_standard_streams
from gpubench_server import token_cli
from gpubench_server.addresses import ALLOWED, Endpoint, parse_endpoint
from gpubench_server.device_registry import Runtime
from gpubench_server.http_options import add_arguments as add_http_arguments
from gpubench_server.http_options import http_port, https_urls
from gpubench_server.limits import Limits, changed, ranges
from gpubench_server.logs import Log
from gpubench_server.security import add_arguments as add_security_arguments
from gpubench_server.security import check_reach, security, with_tls
from gpubench_server.signals import ServerSignals
from gpubench_server.systemd import Systemd
from gpubench_server.unix_sockets import UnixAccess

_RUNTIMES: dict[str, list[Runtime]] = {"auto": ["cuda", "opencl"], "cuda": ["cuda"], "opencl": ["opencl"]}

DEFAULT_LISTEN = f"tcp://127.0.0.1:{DEFAULT_PORT}"

_ADDRESS_KEYS = {"tcp", "tls", "unix", "udp", "unixgram", "http"}
"""What an address file can have."""

_LOG_LEVELS = ("debug", "info", "warning", "error")

_LOG_SECONDS = 2.0

_EXTRA = ("prometheus_client", "starlette", "uvicorn", "h11", "jinja2")
"""What the extra ``server`` installs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code."""
    return with_standard_streams(lambda: _command(arguments))


def _command(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == ["token"]:
            return token_cli.run(words[1:])
        options = command_parser().parse(words)
    except InvalidParameters as error:
        _say(error.message)
        return 2
    log = Log(sys.stderr, options.log_level.upper())
    code = 1
    try:
        code = _serve(options)
    except GpubenchError as error:
        _say(error.message)
        code = 2 if isinstance(error, InvalidParameters) else 1
    except (OSError, MemoryError, RuntimeError) as error:
        reached = limit_reached(error)
        if reached is None:
            raise
        _say(reached.message)
    finally:
        if not log.end(_LOG_SECONDS):
            os._exit(code)  # the interpreter would wait for the stream when it ends
    return code


def _serve(options: argparse.Namespace) -> int:
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
        _check_replaceable(options.address_file)
    systemd = Systemd(os.environ)
    passed = with_tls(systemd.endpoints()) if options.tls_cert is not None else systemd.endpoints()
    endpoints = _endpoints(options.listen, passed)
    chosen = security(options, endpoints, https_urls(options))
    check_reach(endpoints, chosen, options.insecure)
    http, http_settings = http_port(options, chosen)
    signals = ServerSignals()
    signals.install()
    server = Server(
        Settings(
            listen=endpoints,
            http=http,
            data_directory=options.data_dir,
            runtimes=_RUNTIMES[options.runtime],
            limits=changed(Limits(), options.limit),
            unix=UnixAccess(options.unix_mode, frozenset(options.unix_user) or None),
            security=chosen,
            http_settings=http_settings,
        ),
        signals,
    )
    with contextlib.closing(server):
        server.start()
        _say(f"listening on {', '.join(server.urls)} and {server.http_url}")
        with _addresses_in(options.address_file, _addresses(server.urls, server.http_url)):
            systemd.ready([*server.urls, server.http_url])
            server.watch(systemd)
            server.run_until(signals, systemd.stopping)
    return 0


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


def _check_replaceable(path: Path) -> None:
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


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the service goes on if the disk of its stderr is full
        sys.stderr.write(f"gpubench-server: {line}\n")
        sys.stderr.flush()


def command_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(
        prog="gpubench-server",
        description="Benchmark server: measures the memory of this machine's devices on request.",
    )
    parser.add_argument("--version", action="version", version=f"gpubench {gpubench.__version__}")
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="URL",
        help=f"address for benchmark requests: {ALLOWED}; may be repeated; port 0 means any free port "
        f"(default: {DEFAULT_LISTEN})",
    )
    parser.add_argument(
        "--unix-mode",
        type=_mode,
        default=0o600,
        metavar="MODE",
        help="permissions of Unix sockets, in octal; 660 lets the group in (default: 600, the server's user "
        "and root)",
    )
    parser.add_argument(
        "--unix-user",
        action="append",
        type=_uid,
        default=[],
        metavar="USER",
        help="of those whom --unix-mode lets in, serve only this user, root and the server's own; may be "
        "repeated",
    )
    parser.add_argument(
        "--http",
        default=f"127.0.0.1:{DEFAULT_HTTP_PORT}",
        metavar="HOST:PORT",
        help="address for the page, the API and metrics; https://HOST:PORT for TLS, with the certificate of "
        "--tls-cert (default: %(default)s)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(platformdirs.user_data_dir("gpubench")),
        help="directory in which runs are stored (default: gpubench in $XDG_DATA_HOME or ~/.local/share)",
    )
    parser.add_argument(
        "--address-file",
        type=Path,
        metavar="FILE",
        help="once the server listens, write its addresses to this JSON file (- is stdout); removed when the "
        "server stops",
    )
    parser.add_argument(
        "--runtime",
        **choice(_RUNTIMES),
        default="auto",
        help="whose devices to offer (default: auto, those of every runtime that is installed)",
    )
    add_security_arguments(parser)
    add_http_arguments(parser)
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"set a limit; may be repeated; names: {', '.join(ranges())}",
    )
    parser.add_argument(
        "--log-level",
        **choice(_LOG_LEVELS),
        default="info",
        help="the least severe messages to log (default: info)",
    )
    return parser


def _endpoints(urls: Sequence[str], passed: Sequence[Endpoint]) -> list[Endpoint]:
    """What to listen on: the sockets that systemd passed, and what was asked for."""
    endpoints = [*passed, *(parse_endpoint(url) for url in urls)]
    if not endpoints:
        endpoints = [parse_endpoint(DEFAULT_LISTEN)]
    if all(endpoint.scheme in ("udp", "unixgram") for endpoint in endpoints):
        raise InvalidParameters(
            f"{', '.join(map(str, endpoints))}: only ping and status are answered by datagram; for "
            f"everything else add --listen {DEFAULT_LISTEN}"
        )
    return endpoints


def _mode(text: str) -> int:
    """Permissions in octal."""
    if not re.fullmatch("0?[0-7]{3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: three octal digits, such as 660")
    return int(text, 8)


def _uid(text: str) -> int:
    """The number of a user of this machine, by name or number."""
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"this machine has no user {text!r}") from None
