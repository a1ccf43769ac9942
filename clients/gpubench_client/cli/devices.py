"""``gpubench devices``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_backend, add_json
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_backend(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_backend

    with open_backend(args, output) as backend:
        answer = backend.devices()
    if output.json:
        output.data(answer)
        return
    from gpubench.report.terminal import device_table

    if answer.devices:
        output.show(device_table(answer.devices))
    for runtime in answer.runtimes:
        if not runtime.available:
            output.note(f"{runtime.name}: {runtime.reason}")


COMMAND = Command("devices", "list the devices that can be measured", add_arguments, execute)
