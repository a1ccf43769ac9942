"""``gpubench result``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpubench_client.cli.arguments import (
    add_json,
    add_needed_server,
    add_out,
    add_references,
    add_run_id,
)
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.report.subject import Subject
    from gpubench.results.document import RunDocument
    from gpubench_client.cli.out_file import OutFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``gpubench watch`` too."""
    add_run_id(parser)
    add_out(parser, "write the run document to FILE; with the ending .csv its figures alone; - is stdout")
    add_references(parser)
    add_needed_server(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_server
    from gpubench_client.cli.delivery import document_out
    from gpubench_client.cli.run_ids import of_run

    out = document_out(args.out, output)
    with open_server(args, output, "`gpubench result`") as client:
        document = of_run(client, args.run_id, client.result)
    deliver_as_run(args, document, out, output)


def deliver_as_run(
    args: argparse.Namespace,
    document: RunDocument,
    out: OutFile[Subject] | None,
    output: Output,
) -> None:
    """Deliver the document as ``run`` would have, and raise the error with which the run ended."""
    from gpubench.errors import from_wire
    from gpubench_client.cli.delivery import deliver

    deliver(document, out, output, references=args.references)
    info = document.error
    if info is not None:
        raise from_wire(
            info.code,
            f"run {document.run_id}: {info.message}",
            {"kind": info.kind, "retryable": info.retryable},
        )


COMMAND = Command("result", "fetch the document of an earlier run from a server", add_arguments, execute)
