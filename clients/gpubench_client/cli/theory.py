"""``gpubench theory``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpubench_client.cli.arguments import add_json, bus_width
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.report.text_table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="BOARD|TECHNOLOGY",
        help='such as "RTX 5090", or gddr7-32 with --bus-width 512; several are shown one after the other',
    )
    parser.add_argument(
        "--bus-width",
        metavar="BITS",
        type=bus_width,
        help="width of the whole memory bus, for a technology (8 to 65536)",
    )
    parser.add_argument("--list", action="store_true", help="list all known boards and technologies")
    parser.add_argument("--sources", action="store_true", help="show where each figure comes from")
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.errors import InvalidParameters
    from gpubench.report.theory import catalog_tables, describe_theory, render_theory, theory_json

    if args.list == bool(args.names):
        raise InvalidParameters("name a board or a technology, or list all with --list")
    if args.list:
        _show_catalog(output, *catalog_tables())
        return
    theories = [describe_theory(name, args.bus_width) for name in args.names]
    for theory in theories:
        if output.json:
            output.text(theory_json(theory).decode())
        else:
            output.show(render_theory(theory, sources=args.sources))


def _show_catalog(output: Output, *tables: Table) -> None:
    if output.json:
        for found in tables:
            for row in found.rows:
                output.data(dict(zip(found.columns, row, strict=True)))
        return
    from gpubench.report.terminal import table

    output.show(*map(table, tables))


COMMAND = Command(
    "theory", "show the theoretical bandwidth of a board or a memory technology", add_arguments, execute
)
