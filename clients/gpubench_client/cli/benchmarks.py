"""``gpubench benchmarks``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_backend, add_json
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown", action="store_true", help="print docs/benchmarks.md instead, which has all parameters"
    )
    add_backend(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_backend

    with open_backend(args, output) as backend:
        answer = backend.benchmarks()
    if output.json:
        output.data(answer)
        return
    from gpubench.report.benchmarks import benchmark_list, page

    if args.markdown:
        output.text(page(answer))
    else:
        output.show(benchmark_list(answer))


COMMAND = Command("benchmarks", "list the benchmarks and suites", add_arguments, execute)
