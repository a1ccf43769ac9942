"""``gpubench baseline``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_out, one_of
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="learn", type=one_of("learn"), help="what to do: only `learn`")
    parser.add_argument(
        "documents",
        nargs="+",
        metavar="RUN",
        help="run documents of healthy, idle devices, or folders of them: at least three runs of each board",
    )
    add_out(parser, "write the baseline to FILE instead of stdout")


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.comparison.acceptance import learn, render_baseline
    from gpubench_client.cli.files import out_file, read_documents

    out = out_file(args.out)
    documents = [document for name in args.documents for document in read_documents(name)]
    learned = learn(documents)
    for warning in learned.warnings:
        output.error(f"warning: {warning}")
    text = render_baseline(learned.baseline)
    if out is None:
        output.text(text)
    else:
        out.write(text.encode())
        output.note(f"wrote {out}")


COMMAND = Command(
    "baseline", "learn from runs what `gpubench check` expects of this site's boards", add_arguments, execute
)
