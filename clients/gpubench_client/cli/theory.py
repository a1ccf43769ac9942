"""``gpubench theory``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json, bus_width
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="BOARD|TECHNOLOGY", help='such as "RTX 5090", or gddr7-32 with --bus-width 512'
    )
    parser.add_argument(
        "--bus-width",
        metavar="BITS",
        type=bus_width,
        help="width of the whole memory bus, for a technology (8 to 65536)",
    )
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.theory import describe_theory, render_theory, theory_json

    theory = describe_theory(args.name, args.bus_width)
    if output.json:
        output.text(theory_json(theory).decode())
    else:
        output.show(render_theory(theory))


COMMAND = Command(
    "theory", "show the theoretical bandwidth of a board or a memory technology", add_arguments, execute
)
