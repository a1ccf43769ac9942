"""The server's options."""

from __future__ import annotations

import argparse
import pwd
import re
from pathlib import Path

import platformdirs

import gpubench
from gpubench.command_line import Parser, choice
from gpubench.command_line import text as encodable_word
from gpubench.protocol.messages import DEFAULT_HTTP_PORT, DEFAULT_PORT
from gpubench_server import http_options, log_formats, security
from gpubench_server.addresses import ALLOWED, internet_address, parse_endpoint
from gpubench_server.device_registry import Runtime
from gpubench_server.limits import Limits, changed, ranges
from gpubench_server.option_table import OptionTable, add_config, add_limit

RUNTIMES: dict[str, list[Runtime]] = {"auto": ["cuda", "opencl"], "cuda": ["cuda"], "opencl": ["opencl"]}

DEFAULT_LISTEN = f"tcp://127.0.0.1:{DEFAULT_PORT}"

_FILE_NAME = "server.toml"


def command_parser(
    prog: str = "gpubench-server",
    description: str = "Benchmark server: measures the memory of this machine's devices on request.",
    epilog: str | None = None,
) -> Parser:
    """The parser of every option of the server."""
    parser = Parser(prog=prog, description=description, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"gpubench {gpubench.__version__}")
    add_config(parser, _FILE_NAME)
    _add_addresses(parser)
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
        **choice(RUNTIMES),
        default="auto",
        help="the runtime whose devices to offer (default: auto, every runtime that is installed)",
    )
    security.add_arguments(parser)
    http_options.add_arguments(parser)
    add_limit(parser, _limit, ranges())
    log_formats.add_arguments(parser)
    return parser


SERVER = OptionTable(command_parser, "GPUBENCH_SERVER_", _FILE_NAME, DEFAULT_LISTEN)


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        action="append",
        type=_url,
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
        help="of the users that --unix-mode lets in, serve only this one, root and the server's own user; "
        "may be repeated",
    )
    parser.add_argument(
        "--gateway-user",
        action="append",
        type=_uid,
        default=[],
        metavar="USER",
        help="like --unix-user, for the user of `gpubench-server gateway`: its connections must show a token "
        "of --tokens, as on TCP; may be repeated",
    )
    parser.add_argument(
        "--http",
        type=_http_address,
        default=f"127.0.0.1:{DEFAULT_HTTP_PORT}",
        metavar="HOST:PORT",
        help="address for the page, the API and metrics; https://HOST:PORT for TLS, with the certificate of "
        "--tls-cert (default: %(default)s)",
    )


def _url(text: str) -> str:
    """Checked here, so that the error names the flag, the variable or the line that it comes from."""
    parse_endpoint(encodable_word(text))
    return text


def _http_address(text: str) -> str:
    internet_address(http_options.url_of(encodable_word(text)))
    return text


def _limit(text: str) -> str:
    changed(Limits(), [encodable_word(text)])
    return text


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
        raise argparse.ArgumentTypeError(
            f"this machine has no user {text!r}; give an existing name, or a number"
        ) from None
