"""``gpubench report``."""

from __future__ import annotations

import argparse

from gpubench.command_line import file_name
from gpubench_client.cli.arguments import add_out, add_references
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "documents",
        nargs="+",
        metavar="RUN.JSON",
        type=file_name,
        help="run documents, as written by `gpubench run --out`; - is stdin",
    )
    add_references(parser)
    add_out(
        parser,
        "write the report to FILE instead of stdout, in the format of its ending: .md or .csv; - is stdout",
    )


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.formats import REPORT_FORMATS
    from gpubench.report.markdown import render_markdown
    from gpubench_client.cli.files import read_document
    from gpubench_client.cli.out_file import open_out

    out = open_out(args.out, REPORT_FORMATS, inputs=args.documents)
    documents = [read_document(name) for name in args.documents]
    if out is None:
        output.text(render_markdown(documents, references=args.references))
    else:
        out.write(documents, output.raw, args.references)
        output.note(f"wrote {out}")


COMMAND = Command("report", "turn run documents into one report", add_arguments, execute)
