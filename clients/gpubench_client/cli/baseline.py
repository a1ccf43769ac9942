"""``gpubench baseline``."""

from __future__ import annotations

import argparse

from gpubench.command_line import file_name, one_of
from gpubench_client.cli.arguments import add_out
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="learn", type=one_of("learn"), help="what to do: only `learn`")
    parser.add_argument(
        "documents",
        nargs="+",
        metavar="RUN",
        type=file_name,
        help="run documents of healthy, idle devices, or folders of them: at least three runs of each board",
    )
    add_out(parser, "write the baseline to FILE.toml instead of stdout")


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.comparison.acceptance import Baseline, learn, render_baseline
    from gpubench.report.formats import Format
    from gpubench_client.cli.files import read_documents
    from gpubench_client.cli.out_file import open_out

    toml = Format[Baseline]("TOML, a baseline", (".toml",), lambda found: render_baseline(found).encode())
    out = open_out(args.out, [toml], inputs=args.documents)
    learned = learn(read_documents(args.documents))
    for warning in learned.warnings:
        output.error(f"warning: {warning}")
    if out is None:
        output.text(render_baseline(learned.baseline))
    else:
        out.write(learned.baseline, output.raw)
        output.note(f"wrote {out}")


COMMAND = Command(
    "baseline", "learn from runs what `gpubench check` expects of this site's boards", add_arguments, execute
)
