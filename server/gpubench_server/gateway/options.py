"""The gateway's options, in the same three places as the server's.

Each is checked here as far as it can be alone, so that the error names the flag, the variable or the line.
"""

from __future__ import annotations

from pathlib import Path

from gpubench.command_line import Parser, text
from gpubench.errors import InvalidParameters
from gpubench.protocol.messages import DEFAULT_PORT
from gpubench.suggestions import did_you_mean
from gpubench_server import log_formats
from gpubench_server.addresses import Endpoint, InternetEndpoint, parse_endpoint
from gpubench_server.gateway.metrics_file import PERIOD_SECONDS, SUFFIX
from gpubench_server.gateway.privileges import known_user
from gpubench_server.limits import Limits, changed, ranges
from gpubench_server.option_table import OptionTable, add_config, add_limit
from gpubench_server.security import add_certificate

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

DEFAULT_LISTEN = f"tls://127.0.0.1:{DEFAULT_PORT}"

_FILE_NAME = "gateway.toml"

_CLIENTS = "a gateway listens on tls://HOST:PORT, or on tcp://HOST:PORT of this machine"


def command_parser(
    prog: str = "gpubench-server gateway",
    description: str = "Serve other machines through an unprivileged process: it terminates TLS, checks "
    "tokens and every request, and relays valid requests to the server's Unix socket.",
) -> Parser:
    """The parser of every option of the gateway."""
    parser = Parser(prog=prog, description=description)
    add_config(parser, _FILE_NAME)
    parser.add_argument(
        "--listen",
        action="append",
        type=_url,
        default=[],
        metavar="URL",
        help="address for clients: tls://HOST:PORT, or tcp://HOST:PORT of this machine; may be repeated; "
        f"port 0 means any free port (default: {DEFAULT_LISTEN})",
    )
    parser.add_argument(
        "--core",
        type=_core,
        metavar="URL",
        help="the server's Unix socket, unix:///PATH; must be set; the server must run with --gateway-user "
        "USER, the user of the gateway",
    )
    add_certificate(parser, "tls://")
    parser.add_argument(
        "--tls-client-ca",
        type=_no_certificates,
        metavar="FILE",
        help="refused: the server behind a gateway could not check whose certificate it was",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="a copy of the server's token file; must be set; its mode must be 600, or 640 with the "
        "gateway's group",
    )
    parser.add_argument(
        "--user",
        type=_user,
        metavar="NAME",
        help="switch to this user once the addresses are bound and the files are read; required if started "
        "as root",
    )
    parser.add_argument(
        "--metrics-file",
        type=_metrics_file,
        metavar="FILE",
        help=f"write what the gateway counts to this file, every {PERIOD_SECONDS:g} s and at the end, for "
        f"the textfile collector of node_exporter; its name must end in {SUFFIX}",
    )
    add_limit(parser, _limit, LIMITS)
    log_formats.add_arguments(parser)
    return parser


GATEWAY = OptionTable(command_parser, "GPUBENCH_GATEWAY_", _FILE_NAME, DEFAULT_LISTEN, LIMITS)


def client_endpoint(endpoint: Endpoint) -> InternetEndpoint:
    """Raises ``InvalidParameters`` for what is not TCP or TLS, and for TCP that other machines can reach."""
    if not isinstance(endpoint, InternetEndpoint) or endpoint.scheme == "udp":
        raise InvalidParameters(f"{endpoint}: {_CLIENTS}")
    if endpoint.scheme == "tcp" and endpoint.exposed:
        raise InvalidParameters(
            f"{endpoint} can be reached from other machines, and lacks encryption, which tokens need; "
            "use --listen tls://HOST:PORT with --tls-cert FILE"
        )
    return endpoint


def core_path(url: str) -> Path:
    """The server's socket. Raises ``InvalidParameters`` for what is not the URL of a Unix socket."""
    if not url.startswith("unix://"):
        raise InvalidParameters(
            f"--core: {url} is not allowed; allowed: unix:///PATH, a --listen of the server"
        )
    try:
        parse_endpoint(url)
    except InvalidParameters as error:
        raise InvalidParameters(f"--core: {error.message}") from None
    return Path(url.removeprefix("unix://"))


def _url(word: str) -> str:
    if "://" not in text(word):
        raise InvalidParameters(f"{word}: {_CLIENTS}")
    client_endpoint(parse_endpoint(word))
    return word


def _core(word: str) -> str:
    core_path(text(word))
    return word


def _no_certificates(_: str) -> str:
    raise InvalidParameters(
        "--tls-client-ca: a gateway takes no client certificates, because the server behind it could not "
        "check whose they are; give those clients tokens, or an address of the server itself"
    )


def _user(word: str) -> str:
    known_user(text(word))
    return word


def _metrics_file(word: str) -> Path:
    path = Path(text(word))
    if path.suffix != SUFFIX:
        raise InvalidParameters(
            f"--metrics-file: {word!r} must end in {SUFFIX}, because node_exporter reads no other files"
        )
    return path


def _limit(word: str) -> str:
    name = text(word).partition("=")[0]
    if name not in LIMITS:
        allowed = f"allowed for a gateway: {', '.join(LIMITS)}"
        if name in ranges():
            raise InvalidParameters(
                f"unknown limit {name!r}; {allowed}; {name} is a limit of the server only"
            )
        raise InvalidParameters(f"unknown limit {name!r};{did_you_mean(name, LIMITS)} {allowed}")
    changed(Limits(), [word])
    return word
