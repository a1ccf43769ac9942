"""``gpubench report``."""

from __future__ import annotations

import argparse

from gpubench.command_line import file_name
from gpubench_client.cli.arguments import add_out, add_references
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_runs(parser: argparse.ArgumentParser, nargs: str) -> None:
    """The runs of ``report`` and ``plot``, and the boards beside them."""
    parser.add_argument(
        "documents",
        nargs=nargs,
        metavar="RUN.JSON",
        type=file_name,
        help="run documents, as written by `gpubench run --out`, folders of them, or reports in HTML, which "
        "carry theirs; - is stdin",
    )
    parser.add_argument(
        "--board",
        metavar="NAME",
        action="append",
        default=[],
        help='a board of the catalogue to show beside the runs, such as "RTX 5090": its theory and '
        "published figures; may be repeated",
    )
    add_references(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser, "+")
    add_out(
        parser,
        "write the report to FILE instead of stdout, in the format of its ending: .md, .html, .csv, .json, "
        ".svg, .png or .pdf; - is stdout",
    )


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.formats import MARKDOWN, REPORT_FORMATS
    from gpubench_client.cli.files import read_subject
    from gpubench_client.cli.out_file import open_out

    out = open_out(args.out, REPORT_FORMATS, inputs=args.documents)
    subject = read_subject(args.documents, args.references, args.board)
    if out is None:
        output.text(MARKDOWN.render(subject).decode())
    else:
        out.write(subject, output.raw)
        output.note(f"wrote {out}")


COMMAND = Command("report", "turn run documents into one report", add_arguments, execute)
