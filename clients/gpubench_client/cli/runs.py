"""``gpubench runs``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import MAX_LISTED, add_json, add_needed_server, listed_runs
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        metavar="COUNT",
        type=listed_runs,
        default=20,
        help=f"how many runs to list, the newest first (1 to {MAX_LISTED}; default: 20)",
    )
    parser.add_argument(
        "--device", metavar="ID", help="only runs of this device, by the id that `gpubench devices` shows"
    )
    add_needed_server(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_server

    with open_server(args, output, "`gpubench runs`") as client:
        answer = client.results(args.limit, args.device)
    if output.json:
        output.data(answer)
        return
    from gpubench.report.terminal import table
    from gpubench_client.cli.service_tables import runs

    if answer.runs:
        output.show(table(runs(answer.runs)))
    else:
        output.note(f"the server has no runs{f' of a device {args.device!r}' if args.device else ''}")


COMMAND = Command("runs", "list the runs of a server", add_arguments, execute)
