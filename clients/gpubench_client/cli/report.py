"""``gpubench report``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_out, add_references
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "documents",
        nargs="+",
        metavar="RUN.JSON",
        help="run documents, as written by `gpubench run --out`; - is stdin",
    )
    add_references(parser)
    add_out(parser, "write the report to FILE instead of stdout")


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.markdown import render_markdown
    from gpubench_client.cli.files import out_file, read_document

    out = out_file(args.out)
    text = render_markdown([read_document(name) for name in args.documents], references=args.references)
    if out is None:
        output.text(text)
    else:
        out.write(text.encode())
        output.note(f"wrote {out}")


COMMAND = Command("report", "turn run documents into one Markdown report", add_arguments, execute)
