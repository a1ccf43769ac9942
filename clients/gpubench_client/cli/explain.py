"""``gpubench explain``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="a flag, benchmark, suite, verdict or code, such as unstable or loaded_latency",
    )
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.glossary import look_up

    found = [entry for word in args.words for entry in look_up(word)]
    if output.json:
        output.data(found)
        return
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.padding import Padding
    from rich.text import Text

    from gpubench.report.benchmarks import MAX_WIDTH

    for entry in found:
        lines = [Padding(Text(line), (0, 0, 0, 4)) for line in entry.lines]
        head = Text.assemble((entry.name, "bold"), f" ({entry.kind})")
        output.show(Constrain(Group(head, *lines), MAX_WIDTH))


COMMAND = Command("explain", "say what a flag, benchmark, verdict or code means", add_arguments, execute)
