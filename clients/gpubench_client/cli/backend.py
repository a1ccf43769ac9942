"""What executes a command: a server, or this machine."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.units import format_seconds
from gpubench_client.access import token_from
from gpubench_client.backend import Backend
from gpubench_client.cli.output import Output
from gpubench_client.client import Client

if TYPE_CHECKING:
    from gpubench_client.local_runs import LocalRuns

VARIABLE = "GPUBENCH_SERVER"


def is_local(args: argparse.Namespace) -> bool:
    """Whether this machine measures, and no server."""
    return not (args.server or os.environ.get(VARIABLE))


def local_runs(args: argparse.Namespace) -> LocalRuns:
    """The runs of ``--data-dir``, of which as many are kept as ``--keep-runs`` and ``--keep-time`` say."""
    from gpubench.results.retention import Retention
    from gpubench_client.local_runs import LocalRuns, local_directory

    stated = {"runs": args.keep_runs, "seconds": args.keep_time}
    retention = Retention(**{name: value for name, value in stated.items() if value is not None})
    return LocalRuns(local_directory(args.data_dir), retention)


def open_backend(args: argparse.Namespace, output: Output) -> Backend:
    """The server of ``--server``, else of ``$GPUBENCH_SERVER``, else this machine."""
    if not is_local(args):
        return open_server(args, output)
    # Imported here, because a client of a server needs neither devices nor workers.
    from gpubench_client.local import LocalClient

    return LocalClient(args.runtime or "auto")


def open_server(args: argparse.Namespace, output: Output, needed_by: str = "this") -> Client:
    """For what only a server can do; ``needed_by`` names it in the error."""
    source, url = ("--server", args.server) if args.server else (VARIABLE, os.environ.get(VARIABLE))
    if not url:
        raise InvalidParameters(
            f"{needed_by} needs a server; add --server tcp://HOST[:PORT], tls://HOST[:PORT] or unix:///PATH, "
            f"or set {VARIABLE}"
        )
    if getattr(args, "runtime", None) is not None:
        raise InvalidParameters(
            f"--runtime is only for this machine, but {source} names a server; choose the server's device "
            "with --device"
        )

    def report_retry(error: GpubenchError, seconds: float) -> None:
        output.note(f"{error.message}; trying again in {format_seconds(seconds)}")

    token = token_from(args.token_file, os.environ)
    try:
        return Client(
            url,
            patience_seconds=args.wait,
            on_retry=report_retry,
            token=token,
            ca_file=args.ca_file,
            cert_file=args.cert_file,
            key_file=args.key_file,
        )
    except InvalidParameters as error:
        raise InvalidParameters(f"{source}: {error.message}", **error.details) from None
