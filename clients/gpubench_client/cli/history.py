"""``gpubench history``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpubench.command_line import file_name, one_of
from gpubench_client.cli.arguments import (
    SERVERS,
    add_data_dir,
    add_json,
    add_out,
    add_retention,
    add_server,
    count_up_to,
    width,
)
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.comparison.history import Trend
    from gpubench.report.history_files import Drawn
    from gpubench.results.history import History
    from gpubench_client.cli.out_file import OutFile

ACTIONS = ("list", "trend", "plot", "import", "export")

_LISTED = 20
_MOST = 10_000
_MOST_CHARTS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        metavar="{list,trend,plot,import,export}",
        nargs="?",
        default="list",
        type=one_of(*ACTIONS),
        help="list figures, the newest first (the default); trend: when each series shifted, and by how "
        "much; plot: a chart of each series; import run documents; export them to a folder",
    )
    parser.add_argument(
        "names",
        metavar="FILE",
        nargs="*",
        type=file_name,
        help="with import: run documents, or folders of them; with export: the folder, which is made",
    )
    parser.add_argument("--device", metavar="ID", help="only this device, by its id, its alias or its name")
    parser.add_argument("--benchmark", metavar="NAME", help="only this benchmark")
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=_since,
        help="only what ended since then: a date or a time in UTC, such as 2026-01-31 or 2026-01-31T12:00, "
        "or how long ago, such as 30d",
    )
    parser.add_argument(
        "--limit",
        metavar="COUNT",
        type=count_up_to(_MOST),
        help=f"how many figures, or with export how many runs, the newest ones (1 to {_MOST}; default: "
        f"{_LISTED} to list, else {_MOST})",
    )
    add_out(
        parser,
        "with plot: draw them as .svg, .png or .pdf, the data in FILE.csv beside it; as .html, one page; "
        "or as .csv, the data alone",
    )
    parser.add_argument(
        "--width",
        metavar="PIXELS",
        type=width,
        default=800,
        help="with --out: width of the picture in pixels (320 to 2400; default: 800)",
    )
    parser.add_argument("--csv", action="store_true", help="list as CSV, oldest first: a row for each figure")
    add_data_dir(parser)
    add_retention(parser)
    add_server(parser, f"{SERVERS}; default: $GPUBENCH_SERVER, else the runs of this machine")
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.errors import InvalidParameters

    if args.csv and (output.json or args.action != "list"):
        raise InvalidParameters("--csv is for `gpubench history list`, and excludes --json")
    if args.out is not None and (output.json or args.action != "plot"):
        raise InvalidParameters("--out is for `gpubench history plot`, and excludes --json")
    if args.server and args.data_dir is not None:
        raise InvalidParameters(
            "--data-dir is for the runs of this machine; leave out --server, or --data-dir"
        )
    if args.action == "import":
        _import(args, output)
    elif args.action == "export":
        _export(args, output)
    elif args.names:
        raise InvalidParameters(f"FILE: `gpubench history {args.action}` reads no files; import them first")
    elif args.action == "list":
        _list(args, output)
    else:
        _trends(args, output)


def _list(args: argparse.Namespace, output: Output) -> None:
    from gpubench.report import history as report

    found = _history(args, output, args.limit or _LISTED)
    if output.json:
        output.data(found)
    elif args.csv:
        output.text(report.history_csv(found))
    elif found.series:
        from gpubench.report.terminal import table

        output.show(table(report.figure_table(found)))
        if found.truncated:
            output.note("there are older figures: --limit shows more")
    else:
        _none(args, output)


def _trends(args: argparse.Namespace, output: Output) -> None:
    """Those of ``trend`` and of ``plot``, which are the same as JSON."""
    from gpubench.comparison.history import trend_of
    from gpubench.report import history as report

    files = _files(args)
    found = _history(args, output, args.limit or _MOST)
    trends = [trend_of(series) for series in found.series]
    if found.truncated:
        output.note(
            f"of the {args.limit or _MOST} newest figures: name a --device and a --benchmark to see more "
            "of their past"
        )
    if output.json:
        output.data({"trends": trends, "truncated": found.truncated})
        return
    if not trends and not files:
        _none(args, output)
        return
    if args.action == "plot":
        if len(trends) > _MOST_CHARTS:
            output.note(f"{len(trends) - _MOST_CHARTS} more series: name a --device and a --benchmark")
        if files:
            _draw(args, files, trends[:_MOST_CHARTS], output)
            return
        for trend in trends[:_MOST_CHARTS]:
            output.text("\n".join([report.chart_title(trend), *report.chart(trend), ""]))
    else:
        from gpubench.report.terminal import table

        output.show(table(report.trend_table(trends)))
    for line in report.shift_lines(trends):
        output.text(line)


def _files(args: argparse.Namespace) -> list[OutFile[Drawn]]:
    """Those of ``--out``: a picture has its data beside it."""
    if args.out is None:
        return []
    from gpubench.errors import InvalidParameters
    from gpubench.report.history_files import history_formats
    from gpubench_client.cli.files import STREAM
    from gpubench_client.cli.out_file import OutFile

    if args.out == STREAM:
        raise InvalidParameters("--out: name a file; without --out the charts go to standard output, as text")
    alone = args.out.lower().endswith((".csv", ".html", ".htm"))
    names = [args.out] if alone else [args.out, f"{args.out}.csv"]
    return [OutFile(name, history_formats(args.width)) for name in names]


def _draw(
    args: argparse.Namespace, files: Sequence[OutFile[Drawn]], trends: Sequence[Trend], output: Output
) -> None:
    from gpubench.report.history_files import Drawn

    source = "the stored runs of a machine" if _is_local(args) else "the stored runs of a server"
    drawn = Drawn(trends, source)
    for file in files:
        file.write(drawn, output.raw)
        output.note(f"wrote {file}")


def _history(args: argparse.Namespace, output: Output, limit: int) -> History:
    from gpubench.results.history import HistoryQuery
    from gpubench.results.timestamps import milliseconds
    from gpubench_client.cli.backend import local_runs, open_server

    if _is_local(args):
        since = None if args.since is None else milliseconds(args.since)
        return local_runs(args).history(HistoryQuery(args.device, args.benchmark, since, limit))
    with open_server(args, output, "`gpubench history`") as client:
        return client.history(args.device, args.benchmark, args.since, limit)


def _import(args: argparse.Namespace, output: Output) -> None:
    from gpubench.errors import InvalidParameters
    from gpubench_client.cli.backend import local_runs
    from gpubench_client.cli.files import read_documents

    if args.server:
        raise InvalidParameters("--server: runs are imported into the runs of this machine alone")
    if not args.names:
        raise InvalidParameters("FILE: name the run documents, or folders of them, to import")
    documents = read_documents(args.names)
    added = local_runs(args).add(documents)
    known = len(documents) - added
    output.text(f"{added} imported" + (f", {known} there already" if known else ""))


def _export(args: argparse.Namespace, output: Output) -> None:
    from pathlib import Path

    from gpubench.errors import InvalidParameters
    from gpubench_client.cli.export import export_runs

    if len(args.names) != 1:
        raise InvalidParameters("FILE: name one folder to write the run documents to, such as runs/")
    args.limit = args.limit or _MOST
    written, there = export_runs(args, output, Path(args.names[0]), local=_is_local(args))
    output.text(f"{written} written" + (f", {there} there already" if there else ""))


def _is_local(args: argparse.Namespace) -> bool:
    from gpubench_client.cli.backend import is_local

    return is_local(args) or args.data_dir is not None


def _none(args: argparse.Namespace, output: Output) -> None:
    asked = any(each is not None for each in (args.device, args.benchmark, args.since))
    where = "the runs of this machine have" if _is_local(args) else "the server has"
    output.note(f"{where} no figures{' of what is asked for' if asked else ''}")


def _since(text: str) -> str:
    """A type for a time, in ISO 8601 with an offset."""
    from datetime import UTC, datetime, timedelta

    from gpubench.errors import InvalidParameters
    from gpubench.results.timestamps import milliseconds, timestamp
    from gpubench.units import parse_seconds

    at = milliseconds(text.strip())
    if at is not None:
        return timestamp(at)
    try:
        ago = datetime.now(UTC) - timedelta(seconds=parse_seconds(text))
    except (InvalidParameters, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is neither a time nor how long ago; write 2026-01-31, 2026-01-31T12:00 or 30d"
        ) from None
    return ago.isoformat(timespec="milliseconds")


COMMAND = Command(
    "history", "figures over time: list, shifts, charts, import and export", add_arguments, execute
)
