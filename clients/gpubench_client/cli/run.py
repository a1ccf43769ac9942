"""``gpubench run``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpubench.command_line import file_name
from gpubench_client.cli.arguments import (
    add_backend,
    add_json,
    add_out,
    add_references,
    add_store,
    bus_width,
    deadline,
    footprint,
    label,
    repetitions,
    time_limit,
)
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.results.document import RunDocument
    from gpubench_client.cli.request import RunRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "benchmarks", nargs="*", metavar="BENCHMARK", help="benchmarks and suites; see `gpubench benchmarks`"
    )
    parser.add_argument(
        "--suite-file",
        metavar="FILE",
        type=file_name,
        help="suites of your own, in TOML; all of them run if no BENCHMARK is named (see docs/suites.md)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set a parameter of every benchmark of the run, such as dtype=float; may be repeated",
    )
    parser.add_argument(
        "--footprint",
        metavar="SIZE",
        type=footprint,
        help="memory to use, such as 256MiB or 256M (1 MiB to 64 TiB); in latency and cache_sweep the "
        "largest footprint of the curve; one that is too small to keep the caches out is flagged",
    )
    parser.add_argument(
        "--time-limit",
        metavar="TIME",
        type=time_limit,
        help="sampling time of each figure, so of each point of a curve: seconds, or with a unit, as in 5m "
        "(up to 600 s); a curve of 14 points may take 14 times as long",
    )
    parser.add_argument(
        "--device",
        metavar="ID",
        help="id or alias of the device (default: the only GPU, else the only device, by the preferred "
        "driver; see `gpubench devices`)",
    )
    parser.add_argument(
        "--memory",
        metavar="TECHNOLOGY",
        help="technology of the memory, such as ddr5-4800, in place of what the device reports; needs "
        "--bus-width",
    )
    parser.add_argument(
        "--bus-width",
        metavar="BITS",
        type=bus_width,
        help="width of that memory's bus, all channels together (8 to 65536)",
    )
    add_out(
        parser,
        "write the run document to FILE, even if the run fails or a signal ends it; with the ending .csv its "
        "figures alone; - is stdout; a folder, such as runs/, gets a file for each run",
    )
    parser.add_argument(
        "--repeat",
        metavar="COUNT",
        type=repetitions,
        default=1,
        help="run all of it so many times (1 to 1000), one after the other; a verdict of `gpubench compare` "
        "needs five runs on each side",
    )
    parser.add_argument(
        "--deadline",
        metavar="TIME",
        type=deadline,
        help="time limit of the whole run, including the queue: seconds, or with a unit such as 30m or 2h "
        "(up to 1d)",
    )
    parser.add_argument(
        "--key", help="with a server: a key that was used before returns that run instead of a new one"
    )
    parser.add_argument(
        "--label",
        dest="labels",
        metavar="KEY=VALUE",
        action="append",
        type=label,
        default=[],
        help="keep your own words in the run document, such as node=rack7-n12; may be repeated",
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="leave the run to the server and print its id, for `gpubench result`",
    )
    add_references(parser)
    add_store(parser)
    add_backend(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench_client.cli.repeat import run_repeatedly
    from gpubench_client.cli.request import run_request

    request = run_request(args)
    if args.detach and args.repeat == 1:
        _submit(args, request, output)
        return
    run_repeatedly(args, lambda out: _measure(args, request, out, output), output)


def _measure(
    args: argparse.Namespace, request: RunRequest, out_name: str | None, output: Output
) -> RunDocument | None:
    """However the run ends, write and show what it finished; then raise the error, or ``Ended``."""
    from gpubench.errors import GpubenchError
    from gpubench.executor.supervisor import StopRequest
    from gpubench_client.cli.backend import is_local, local_runs, open_backend
    from gpubench_client.cli.delivery import deliver, document_out
    from gpubench_client.cli.progress import progress_display
    from gpubench_client.cli.run_signals import Ended, RunSignals

    out = document_out(out_name, output, [args.suite_file] if args.suite_file is not None else [])
    stop = StopRequest()
    error: GpubenchError | None = None
    undelivered: GpubenchError | None = None
    document: RunDocument | None
    with RunSignals(stop) as signals:
        with (
            open_backend(args, output) as backend,
            progress_display(output) as display,
            signals.during(display, backend.stopped),
        ):
            try:
                document = backend.run(
                    request.benchmarks,
                    **request.options,
                    on_accepted=display.accepted,
                    on_progress=display.progress,
                    stop=stop,
                )
            except GpubenchError as raised:
                error, document = request.explain(raised), raised.document
        if document is not None:
            if is_local(args) and not args.no_store:
                local_runs(args).keep(document, output.note)
            try:
                deliver(document, out, output, references=args.references)
            except GpubenchError as raised:
                undelivered = raised
    if signals.received is None:
        failure = undelivered or error
        if failure is not None:
            raise failure
        return document
    if undelivered is not None:
        output.error(f"gpubench: {undelivered.message}")
    raise Ended(signals.received)


def _submit(args: argparse.Namespace, request: RunRequest, output: Output) -> None:
    """Leave the run to the server."""
    from gpubench.errors import GpubenchError, InvalidParameters
    from gpubench_client.cli.backend import open_server

    if args.out is not None:
        raise InvalidParameters(
            "--out: with --detach there is no document yet; fetch it with `gpubench result RUN_ID --out FILE`"
        )
    with open_server(args, output, "--detach") as client:
        try:
            accepted = client.submit(request.benchmarks, **request.options)
        except GpubenchError as error:
            raise request.explain(error) from None
    if output.json:
        output.data(accepted)
    else:
        output.text(accepted.run_id)
        output.note(
            f"`gpubench watch {accepted.run_id}` follows the run; once it has ended, "
            f"`gpubench result {accepted.run_id}` shows the result"
        )


COMMAND = Command("run", "measure the memory of a device", add_arguments, execute)
