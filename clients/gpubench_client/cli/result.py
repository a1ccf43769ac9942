"""``gpubench result``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json, add_out, add_references, add_server
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID", help="the id that `gpubench run` printed")
    add_out(parser, "write the run document to FILE; with the ending .csv its figures alone; - is stdout")
    add_references(parser)
    add_server(parser, "required: tcp://HOST[:PORT]; default: $GPUBENCH_SERVER")
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    """Deliver the document as ``run`` would have, and raise the error with which the run ended."""
    from gpubench.errors import NoSuchRun, from_wire
    from gpubench_client.cli.backend import open_server
    from gpubench_client.cli.delivery import deliver, document_out

    out = document_out(args.out, output)
    with open_server(args, output, "`gpubench result`") as client:
        try:
            document = client.result(args.run_id)
        except NoSuchRun as error:
            raise NoSuchRun(
                f"RUN_ID: the server has no run {args.run_id!r}; `gpubench run` prints the id of each run",
                **error.details,
            ) from None
    deliver(document, out, output, references=args.references)
    info = document.error
    if info is not None:
        raise from_wire(info.code, f"run {document.run_id}: {info.message}", {"kind": info.kind})


COMMAND = Command("result", "fetch the document of an earlier run from a server", add_arguments, execute)
