"""``gpubench compare``."""

from __future__ import annotations

import argparse

from gpubench.command_line import file_name
from gpubench_client.cli.arguments import add_json
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "first", metavar="FIRST", type=file_name, help="a folder of run documents, or one document"
    )
    parser.add_argument(
        "second",
        metavar="SECOND",
        type=file_name,
        help="the other folder or document; a verdict needs at least five runs on each side",
    )
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.comparison.compare import compare_runs
    from gpubench_client.cli.files import read_documents

    verdicts = compare_runs(read_documents(args.first), read_documents(args.second))
    if output.json:
        output.data(verdicts)
        return
    from gpubench.report.terminal import verdict_table

    output.show(verdict_table(verdicts))


COMMAND = Command(
    "compare", "compare two sets of runs: faster, slower, the same, or undecided", add_arguments, execute
)
