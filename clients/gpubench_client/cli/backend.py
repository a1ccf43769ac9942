"""Which service a command line means: a server, or a private worker on this machine."""

from __future__ import annotations

import argparse
import os

from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.units import format_seconds
from gpubench_client.backend import Backend
from gpubench_client.cli.output import Output
from gpubench_client.client import Client


def open_backend(args: argparse.Namespace, output: Output) -> Backend:
    """``--server``, else ``$GPUBENCH_SERVER``, else a private worker."""
    if _url(args) is not None:
        return open_server(args, output)
    # Only here, because a client of a server needs neither devices nor workers.
    from gpubench_client.local import LocalClient

    return LocalClient(args.runtime or "auto")


def open_server(args: argparse.Namespace, output: Output) -> Client:
    """For what only a server can do."""
    url = _url(args)
    if url is None:
        raise InvalidParameters("this needs a server: say --server tcp://HOST[:PORT], or set GPUBENCH_SERVER")
    if args.runtime is not None:
        raise InvalidParameters("--runtime is for this machine; a server's device is picked with --device")

    def waiting(error: GpubenchError, seconds: float) -> None:
        output.tell(f"{error.message}; asking again in {format_seconds(seconds)}")

    return Client(url, patience_seconds=args.wait, on_retry=waiting)


def _url(args: argparse.Namespace) -> str | None:
    return args.server or os.environ.get("GPUBENCH_SERVER") or None
