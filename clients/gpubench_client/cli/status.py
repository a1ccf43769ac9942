"""``gpubench status``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json, add_needed_server
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_needed_server(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_server

    with open_server(args, output, "`gpubench status`") as client:
        answer = client.status()
    if output.json:
        output.data(answer)
        return
    from gpubench.report.terminal import table
    from gpubench_client.cli.service_tables import queues, status_lines

    output.text("\n".join(status_lines(answer)))
    if answer.queues:
        output.show(table(queues(answer)))


COMMAND = Command("status", "show whether a server takes runs, and its queues", add_arguments, execute)
