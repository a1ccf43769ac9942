"""The command ``gpubench-server``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

import gpubench
from gpubench.atomic_files import write_file
from gpubench.command_line import Parser, one_of
from gpubench.devices.process_limits import limit_reached
from gpubench.errors import GpubenchError, InvalidParameters, MissingDependency
from gpubench.protocol.messages import DEFAULT_HTTP_PORT, DEFAULT_PORT
from gpubench.standard_streams import with_standard_streams
from gpubench_server.device_registry import Runtime
from gpubench_server.limits import Limits, changed, ranges
from gpubench_server.logs import Log
from gpubench_server.signals import ServerSignals
from gpubench_server.transports import Address, resolve

_RUNTIMES: dict[str, list[Runtime]] = {"auto": ["cuda", "opencl"], "cuda": ["cuda"], "opencl": ["opencl"]}

_LOG_LEVELS = ("debug", "info", "warning", "error")

_LOG_SECONDS = 2.0

_EXTRA = ("prometheus_client", "starlette", "uvicorn", "h11", "jinja2")
"""What the extra ``server`` installs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code."""
    return with_standard_streams(lambda: _command(arguments))


def _command(arguments: Sequence[str] | None) -> int:
    try:
        options = command_parser().parse(arguments)
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
    signals = ServerSignals()
    signals.install()
    server = Server(
        Settings(
            tcp=_address(options.listen, options.insecure),
            http=_address(f"http://{options.http}", options.insecure),
            data_directory=options.data_dir,
            runtimes=_RUNTIMES[options.runtime],
            limits=changed(Limits(), options.limit),
        ),
        signals.fail,
    )
    with contextlib.closing(server):
        server.start()
        _say(f"listening on {server.tcp_url} and {server.http_url}")
        with _addresses_in(options.address_file, {"tcp": server.tcp_url, "http": server.http_url}):
            server.run_until(signals)
    return 0


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
        known = not before or "tcp" in json.loads(before)
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
        default=f"tcp://127.0.0.1:{DEFAULT_PORT}",
        metavar="tcp://HOST:PORT",
        help="address for benchmark requests; port 0 means any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--http",
        default=f"127.0.0.1:{DEFAULT_HTTP_PORT}",
        metavar="HOST:PORT",
        help="address for metrics and health pages (default: %(default)s)",
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
        type=one_of(*_RUNTIMES),
        metavar=f"{{{','.join(_RUNTIMES)}}}",
        default="auto",
        help="which devices to offer (default: auto, all that are installed)",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow addresses that other machines can reach, without encryption or authentication",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"set a limit; may be repeated; names: {', '.join(ranges())}",
    )
    parser.add_argument(
        "--log-level",
        type=one_of(*_LOG_LEVELS),
        metavar=f"{{{','.join(_LOG_LEVELS)}}}",
        default="info",
        help="the least severe messages to log (default: info)",
    )
    return parser


def _address(url: str, insecure: bool) -> Address:
    """The address to listen on; not a loopback address only with ``insecure``."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameters(f"{url} is not a valid address: {error}") from None
    if parts.scheme not in ("tcp", "http") or port is None or parts.path not in ("", "/"):
        raise InvalidParameters(
            f"{url} is not a valid address; use tcp://HOST:PORT for --listen, HOST:PORT for --http"
        )
    address = resolve((host or "").replace("%25", "%"), port)  # RFC 6874 writes the scope so
    if not address.loopback and not insecure:
        raise InvalidParameters(
            f"{url} can be reached from other machines, and this server has no encryption and no "
            "authentication: anybody there could read all traffic and start runs. Listen on 127.0.0.1 and "
            "forward the port (ssh -L), or pass --insecure if you trust the network"
        )
    return address
