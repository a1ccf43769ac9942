"""The command ``gpubench-server``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

import gpubench
from gpubench.atomic_files import replaces, write_file
from gpubench.errors import CannotListen, Forbidden, GpubenchError, InvalidParameters, MissingDependency
from gpubench.protocol.messages import DEFAULT_HTTP_PORT, DEFAULT_PORT
from gpubench.standard_streams import with_standard_streams
from gpubench_server.device_registry import Runtime
from gpubench_server.limits import Limits, changed
from gpubench_server.logs import Log
from gpubench_server.transports import Address, resolve

_RUNTIMES: dict[str, list[Runtime]] = {"auto": ["cuda", "opencl"], "cuda": ["cuda"], "opencl": ["opencl"]}

_LOG_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    return with_standard_streams(lambda: _command(arguments))


def _command(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    log = Log(sys.stderr, options.log_level.upper())
    code = 1
    try:
        code = _serve(options)
    except GpubenchError as error:
        _say(error.message)
    finally:
        if not log.end(_LOG_SECONDS):
            os._exit(code)  # the interpreter's own end would wait for the stream as well
    return code


def _serve(options: argparse.Namespace) -> int:
    try:
        from gpubench_server.app import Server, Settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise MissingDependency(
            "the server needs prometheus-client, which is not installed: pip install '.[server]' "
            "in the checkout"
        ) from None
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Nothing is done in the handler: `shutdown` called from one would wait for itself.
        signal.signal(number, lambda received, frame: signals.put(received))
    server = Server(
        Settings(
            tcp=_address(options.listen, options.insecure),
            http=_address(f"http://{options.http}", options.insecure),
            data_directory=options.data_dir,
            runtimes=_RUNTIMES[options.runtime],
            limits=changed(Limits(), options.limit),
        )
    )
    server.start()
    _say(f"listening on {server.tcp_url} and {server.http_url}")
    with _addresses_in(options.address_file, {"tcp": server.tcp_url, "http": server.http_url}):
        server.run_until(signals)
    return 0


@contextlib.contextmanager
def _addresses_in(path: Path | None, addresses: dict[str, str]) -> Iterator[None]:
    """Keep the addresses in a file, if one is wanted, for as long as they are listened on."""
    if path is None:
        yield
        return
    try:
        write_file(path, json.dumps(addresses).encode() + b"\n")
    except OSError as error:
        raise InvalidParameters(f"the address file {path} cannot be written: {error.strerror}") from None
    yield
    if replaces(path):  # a pipe or a device is not ours to remove
        path.unlink(missing_ok=True)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk is no reason not to serve
        sys.stderr.write(f"gpubench-server: {line}\n")
        sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpubench-server", description="Measure this machine's device memory on request, over a socket."
    )
    parser.add_argument("--version", action="version", version=f"gpubench {gpubench.__version__}")
    parser.add_argument(
        "--listen",
        default=f"tcp://127.0.0.1:{DEFAULT_PORT}",
        metavar="tcp://HOST:PORT",
        help="where benchmarks are asked for; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--http",
        default=f"127.0.0.1:{DEFAULT_HTTP_PORT}",
        metavar="HOST:PORT",
        help="where metrics and health pages are served (default: %(default)s)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(platformdirs.user_data_dir("gpubench")),
        help="where runs are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--address-file", type=Path, help="write the real addresses there as JSON, once they are listened on"
    )
    parser.add_argument(
        "--runtime", choices=list(_RUNTIMES), default="auto", help="where to look for devices (default: auto)"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="listen beyond loopback although nothing is encrypted and nobody is asked who they are",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"change a limit; names: {', '.join(field.name for field in fields(Limits))}",
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="(default: info)"
    )
    return parser


def _address(url: str, insecure: bool) -> Address:
    """Where to listen; beyond loopback only with ``insecure``."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CannotListen(f"{url} is no address: {error}") from None
    if parts.scheme not in ("tcp", "http") or port is None or parts.path not in ("", "/"):
        raise CannotListen(f"{url} is no address; write tcp://HOST:PORT, or HOST:PORT for --http")
    address = resolve(host or "", port)
    if not address.loopback and not insecure:
        raise Forbidden(
            f"{url} can be reached from other machines, where anybody could read along and start runs: "
            "this server does not encrypt and asks nobody who they are. Listen on 127.0.0.1 and forward "
            "the port (ssh -L), or pass --insecure where the network is your own"
        )
    return address
