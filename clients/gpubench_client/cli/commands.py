"""The subcommands as one table, and what the short ones do.

What a command needs is imported when it runs: help must not wait for what it does not use.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from gpubench_client.cli import arguments
from gpubench_client.cli.output import Output


def devices(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_backend

    with open_backend(args, output) as service:
        answer = service.devices()
    if output.json:
        output.data(answer)
        return
    from gpubench.report import terminal

    if answer.devices:
        output.show(terminal.device_table(answer.devices))
    for runtime in answer.runtimes:
        if not runtime.available:
            output.tell(f"{runtime.name}: {runtime.reason}")


def benchmarks(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.backend import open_backend

    with open_backend(args, output) as service:
        answer = service.benchmarks()
    if output.json:
        output.data(answer)
        return
    from gpubench.report.benchmarks import benchmark_list, page

    if args.markdown:
        output.text(page(answer))
    else:
        output.show(benchmark_list(answer))


def run(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli import run

    run.run(args, output)


def result(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli import run

    run.result(args, output)


def theory(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.theory import describe_theory, render_theory, theory_json

    found = describe_theory(args.name, args.bus_width)
    if output.json:
        output.text(theory_json(found).decode())
    else:
        output.show(render_theory(found))


def report(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report.markdown import render_markdown
    from gpubench_client.cli.files import out_file, read_document

    out = out_file(args.out)
    text = render_markdown([read_document(name) for name in args.documents])
    if out is None:
        output.text(text)
    else:
        out.write(text.encode())
        output.tell(f"wrote {out}")


def compare(args: argparse.Namespace, output: Output) -> None:
    from gpubench.comparison.compare import compare_runs
    from gpubench_client.cli.files import read_documents

    verdicts = compare_runs(read_documents(args.first), read_documents(args.second))
    if output.json:
        output.data(verdicts)
        return
    from gpubench.report.terminal import verdict_table

    output.show(verdict_table(verdicts))


class Command(NamedTuple):
    name: str
    summary: str
    arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace, Output], None]


COMMANDS = (
    Command("devices", "list what can be measured", arguments.service, devices),
    Command("benchmarks", "list what can be run, and what each one moves", arguments.benchmarks, benchmarks),
    Command("run", "measure a device's memory and compare it", arguments.run, run),
    Command("result", "fetch the document of an earlier run from a server", arguments.result, result),
    Command("theory", "what a board or a kind of memory should reach", arguments.theory, theory),
    Command("report", "write run documents as one Markdown report", arguments.report, report),
    Command("compare", "say which of two sets of runs is faster, if one is", arguments.compare, compare),
)
