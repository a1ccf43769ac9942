"""``gpubench cancel``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json, add_needed_server, add_run_id
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_id(parser)
    add_needed_server(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_server
    from gpubench_client.cli.run_ids import of_run

    with open_server(args, output, "`gpubench cancel`") as client:
        answer = of_run(client, args.run_id, client.cancel)
    if output.json:
        output.data(answer)
        return
    output.text(f"run {answer.run_id}: {'cancelled' if answer.cancelled else 'had ended already'}")
    if answer.cancelled:
        output.note(f"`gpubench result {answer.run_id}` shows what it had measured")


COMMAND = Command("cancel", "cancel a run of a server; what it has measured is kept", add_arguments, execute)
