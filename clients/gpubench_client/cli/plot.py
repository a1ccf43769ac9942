"""``gpubench plot``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_out, width
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output
from gpubench_client.cli.report import add_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser, "+")
    parser.add_argument(
        "figure",
        metavar="FIGURE",
        help="bandwidth, generations, samples, telemetry, or a benchmark with a curve, such as latency",
    )
    add_out(
        parser,
        "required: a picture in .svg, .png or .pdf, with its data in FILE.csv beside it, or .csv for the "
        "data alone",
    )
    parser.add_argument(
        "--width",
        metavar="PIXELS",
        type=width,
        default=800,
        help="of the picture (320 to 2400; default: 800)",
    )


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.errors import InvalidParameters
    from gpubench.report.pictures import plot_formats
    from gpubench_client.cli.files import STREAM, read_subject
    from gpubench_client.cli.out_file import OutFile

    if args.out in (None, STREAM):
        raise InvalidParameters(
            "--out: name a file, which a picture needs: .svg, .png, .pdf, or .csv for the data"
        )
    formats = plot_formats(args.figure, args.width)
    names = [args.out] if args.out.lower().endswith(".csv") else [args.out, f"{args.out}.csv"]
    files = [OutFile(name, formats, args.documents) for name in names]
    subject = read_subject(args.documents, args.references, args.board)
    for file in files:
        file.write(subject, output.raw)
        output.note(f"wrote {file}")


COMMAND = Command("plot", "draw one figure of run documents", add_arguments, execute)
