"""``gpubench check``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpubench.command_line import file_name, one_of
from gpubench_client.cli.arguments import (
    add_backend,
    add_json,
    add_store,
    bus_width,
    deadline,
    footprint,
    is_whole,
    time_limit,
    wait_time,
)
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.comparison.acceptance import AttemptRule, CheckReport
    from gpubench.errors import GpubenchError
    from gpubench_client.cli.out_file import OutFile

NOT_ALL_RIGHT = 3

TERMINATION_FILE = "/dev/termination-log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "documents",
        nargs="*",
        metavar="RUN",
        type=file_name,
        help="judge these run documents, or folders of them, instead of measuring; - is stdin",
    )
    _add_expectation(parser)
    _add_measuring(parser)
    _add_output(parser)
    add_store(parser)
    add_backend(parser)
    add_json(parser)


def _add_expectation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is expected")
    group.add_argument(
        "--baseline",
        metavar="FILE",
        type=file_name,
        help="a baseline by `gpubench baseline learn` (default: $GPUBENCH_BASELINE)",
    )
    group.add_argument(
        "--tolerance",
        metavar="SHARE",
        type=_share,
        help="a margin such as 5%%, instead of the one from the measured spread of a baseline or of twins",
    )
    group.add_argument(
        "--min-efficiency",
        metavar="SHARE",
        type=_share,
        help="the least share of the theoretical peak, such as 85%%, instead of any other expectation",
    )
    group.add_argument(
        "--like", metavar="BOARD", help='expect what is published of this board, such as "RTX 5090"'
    )
    group.add_argument(
        "--expect-devices", metavar="N", type=_count, help="how many devices there must be (1 to 1024)"
    )
    group.add_argument(
        "--attempts",
        metavar="K-of-N",
        type=_attempts,
        help="how many of at most how many runs must reach the floor (default: 2-of-3; of given documents: "
        "most of them)",
    )


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is measured, and when")
    group.add_argument(
        "--run",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure, unless --max-age has an answer (default: yes)",
    )
    group.add_argument(
        "--max-age",
        metavar="TIME",
        type=wait_time,
        help="answer from stored runs that are not older, such as 24h",
    )
    group.add_argument(
        "--wait-idle",
        metavar="TIME",
        type=wait_time,
        help="measure only when nothing else uses the device, and wait for that at most so long, such as 30m",
    )
    group.add_argument(
        "--max-wait",
        metavar="TIME",
        type=wait_time,
        help="with --wait-idle: a device that stays busy is answered for from stored runs, up to this age",
    )
    devices = group.add_mutually_exclusive_group()
    devices.add_argument("--device", metavar="ID", help="id or alias (default: the only GPU or device)")
    devices.add_argument(
        "--all-devices",
        action="store_true",
        help="every GPU, else every device: each alone, then all at the same time",
    )
    group.add_argument(
        "--suite", metavar="NAME", default="check", help="what to measure: a suite or a benchmark"
    )
    group.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="as for `gpubench run`",
    )
    group.add_argument("--footprint", metavar="SIZE", type=footprint, help="as for `gpubench run`")
    group.add_argument("--time-limit", metavar="TIME", type=time_limit, help="as for `gpubench run`")
    group.add_argument("--deadline", metavar="TIME", type=deadline, help="of each run, as for `gpubench run`")
    group.add_argument("--memory", metavar="TECHNOLOGY", help="as for `gpubench run`")
    group.add_argument("--bus-width", metavar="BITS", type=bus_width, help="as for `gpubench run`")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is answered")
    group.add_argument(
        "--dialect",
        metavar="{nagios,nhc,npd,termination}",
        type=one_of("nagios", "nhc", "npd", "termination"),
        help="one line and an exit code for such a program; see docs/check.md",
    )
    group.add_argument(
        "--termination-file",
        metavar="FILE",
        type=file_name,
        default=TERMINATION_FILE,
        help="with --dialect termination: where the message goes (default: %(default)s)",
    )
    group.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        type=file_name,
        action="append",
        default=[],
        help="write the answer to FILE too, in the format of its ending: .json, .ctrf.json, .xml (JUnit), "
        ".prom (Prometheus textfile) or .md; may be repeated; - is JSON on stdout",
    )


def execute(args: argparse.Namespace, output: Output) -> int:
    """With a dialect every error is an answer too: a monitor must not take silence for health."""
    import time

    from msgspec.structs import replace

    from gpubench.comparison.acceptance.judge import report_of, without_device
    from gpubench.comparison.acceptance.verdict import fault
    from gpubench.errors import GpubenchError, InvalidParameters
    from gpubench.text import encodable
    from gpubench_client.cli.check_runs import answer

    begun = time.monotonic()
    files = _files(args, output)
    if args.dialect and output.json:
        raise InvalidParameters("--json and --dialect exclude each other; write JSON with --out FILE.json")
    try:
        report = answer(args, output)
    except GpubenchError as error:
        if not args.dialect:
            raise
        report = report_of([without_device([fault("check", "GB-NOT-MEASURED", encodable(error.message))])])
    report = replace(report, check_seconds=round(time.monotonic() - begun, 3))
    failed = _write(files, report, output)
    code = _say(args, report, output)
    if failed is not None and not args.dialect:
        raise failed
    return code


def _files(args: argparse.Namespace, output: Output) -> list[OutFile[CheckReport]]:
    """Those of ``--out``; ``-`` is the answer on stdout, as with ``--json``."""
    from gpubench.report.dialects import FORMATS
    from gpubench_client.cli.out_file import open_out

    inputs = [*args.documents, *filter(None, [args.baseline])]
    found = [open_out(name, FORMATS, inputs) for name in args.out]
    output.json = output.json or None in found
    return [file for file in found if file is not None]


def _write(files: list[OutFile[CheckReport]], report: CheckReport, output: Output) -> GpubenchError | None:
    """Write all of them; an error is noted, and the last one returned, so that the answer is still given."""
    from gpubench.errors import GpubenchError

    failed = None
    for file in files:
        try:
            file.write(report, lambda data: None)
            output.note(f"wrote {file}")
        except GpubenchError as error:
            failed = error
            output.error(f"gpubench: {error.message}")
    return failed


def _say(args: argparse.Namespace, report: CheckReport, output: Output) -> int:
    from gpubench.report.dialects import DIALECTS

    if args.dialect:
        line = DIALECTS[args.dialect](report)
        if line.text:
            output.text(line.text)
        if args.dialect == "termination":
            _terminate(args.termination_file, line.text, output)
        return line.exit_code
    if output.json:
        output.data(report)
    else:
        _show(report, output)
    return 0 if report.status == "OK" else NOT_ALL_RIGHT


def _show(report: CheckReport, output: Output) -> None:
    from gpubench.report.dialects.table import claim_table, heading, notes, summary
    from gpubench.report.terminal import table

    for device in report.devices:
        output.text(heading(device))
        output.show(table(claim_table(device)))
        for line in notes(device):
            output.text(f"  {line}")
    output.text(summary(report))


def _terminate(name: str, text: str, output: Output) -> None:
    from gpubench_client.cli.out_file import write_in_place

    try:
        write_in_place(name, text.encode())
    except OSError as error:
        output.error(f"gpubench: --termination-file: {name} cannot be written: {error.strerror}")


def _share(text: str) -> float:
    from gpubench_client.cli.check_rules import share

    return share(text)


def _attempts(text: str) -> AttemptRule:
    from gpubench_client.cli.check_rules import attempt_rule

    return attempt_rule(text)


def _count(text: str) -> int:
    if not is_whole(text, 1, 1024, most_digits=4):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not allowed; allowed: 1 to 1024 devices")
    return int(text)


COMMAND = Command(
    "check", "say whether devices are all right, and what to do if they are not", add_arguments, execute
)
