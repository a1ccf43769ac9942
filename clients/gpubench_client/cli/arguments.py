"""What can be written on the command line. Nothing is imported here but argparse: help is quick."""

from __future__ import annotations

import argparse

SERVER_HELP = "tcp://HOST[:PORT]; else $GPUBENCH_SERVER, else a private worker on this machine"


def common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes on stderr")


def service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help=SERVER_HELP)
    parser.add_argument(
        "--runtime",
        choices=("auto", "opencl", "cuda"),
        help="where there is no server: which devices to look for (default: auto)",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long to ask a busy server again (default: 30; 0: not at all)",
    )
    common(parser)


def benchmarks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the page of all benchmarks, in Markdown")
    service(parser)


def run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "benchmarks", nargs="*", metavar="BENCHMARK", help="a benchmark or a suite: see `gpubench benchmarks`"
    )
    parser.add_argument(
        "--suite-file",
        metavar="FILE",
        help="suites of your own, in TOML; without a BENCHMARK all of them: see docs/suites.md",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter of these benchmarks, such as dtype=float; may be repeated",
    )
    parser.add_argument(
        "--footprint",
        metavar="SIZE",
        help="memory touched in all, such as 256MiB; less than the default is flagged",
    )
    parser.add_argument(
        "--time-limit", metavar="SECONDS", type=_seconds, help="of sampling, for each benchmark"
    )
    parser.add_argument("--device", metavar="ID", help="id or alias; see `gpubench devices`")
    parser.add_argument("--memory", metavar="TECHNOLOGY", help="what the memory is, such as ddr5-4800")
    parser.add_argument("--bus-width", metavar="BITS", type=int, help="of that memory, all channels together")
    parser.add_argument(
        "--out", metavar="FILE", help="write the run document there, whatever becomes of the run"
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=_seconds,
        help="for the whole run, its time in the queue included",
    )
    parser.add_argument("--key", help="the same key again gives the same run, not another (server only)")
    parser.add_argument(
        "--detach",
        action="store_true",
        help="leave the run to the server and print its id for `gpubench result`",
    )
    service(parser)


def result(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--out", metavar="FILE", help="write the run document there")
    service(parser)


def theory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="BOARD|TECHNOLOGY", help='such as "RTX 5090", or gddr7-32 with --bus-width'
    )
    parser.add_argument("--bus-width", metavar="BITS", type=int, help="of a technology, in all")
    common(parser)


def report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("documents", nargs="+", metavar="RUN.JSON", help="run documents; - is stdin")
    parser.add_argument("-o", "--out", metavar="FILE", help="else on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help=argparse.SUPPRESS)


def compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="FIRST", help="a folder of run documents, or one of them")
    parser.add_argument("second", metavar="SECOND", help="likewise; a verdict needs five runs a side")
    common(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return seconds
