"""The arguments of each command. Nothing but argparse is imported here, so that help is quick."""

from __future__ import annotations

import argparse

SERVER_HELP = (
    "server to ask, tcp://HOST[:PORT]; default: $GPUBENCH_SERVER, else this machine without a server"
)


def common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors on stderr")


def service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help=SERVER_HELP)
    parser.add_argument(
        "--runtime",
        choices=("auto", "opencl", "cuda"),
        help="without a server: which devices to look for (default: auto)",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long to keep asking a busy server (default: 30; 0: ask once)",
    )
    common(parser)


def benchmarks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print all benchmarks with their parameters as one page in Markdown",
    )
    service(parser)


def run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help="benchmark or suite to run; `gpubench benchmarks` lists them",
    )
    parser.add_argument(
        "--suite-file",
        metavar="FILE",
        help="your own suites, in TOML (docs/suites.md); all of them are run if no BENCHMARK is named",
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
        help="memory to use, such as 256MiB: sets footprint_bytes, in latency and cache_sweep the largest "
        "footprint of the curve; one that is too small to keep the caches out is flagged",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=_seconds,
        help="sampling time of each figure, so of each point of a curve, up to 600: sets "
        "time_limit_seconds; a curve of 14 points may take 14 times as long",
    )
    parser.add_argument(
        "--device",
        metavar="ID",
        help="id or alias of the device; `gpubench devices` lists them (default: the only GPU, else the only "
        "device)",
    )
    parser.add_argument(
        "--memory",
        metavar="TECHNOLOGY",
        help="technology of the memory, such as ddr5-4800, in place of what the device reports; needs "
        "--bus-width",
    )
    parser.add_argument(
        "--bus-width", metavar="BITS", type=int, help="width of its bus, all channels together"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write the run document there, also if the run fails or is interrupted"
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=_seconds,
        help="longest time for the whole run, including its time in the queue; then it ends as a failure",
    )
    parser.add_argument(
        "--key", help="with a server: a request with the same key returns the same run and starts no other"
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="with a server: do not wait; print the run's id for `gpubench result`",
    )
    service(parser)


def result(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--out", metavar="FILE", help="write the run document there as well")
    service(parser)


def theory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="BOARD|TECHNOLOGY", help='such as "RTX 5090", or gddr7-32 with --bus-width'
    )
    parser.add_argument(
        "--bus-width",
        metavar="BITS",
        type=int,
        help="width of the whole bus; for a technology, not for a board",
    )
    common(parser)


def report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "documents", nargs="+", metavar="RUN.JSON", help="run documents; - reads one from stdin"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="write the report there (default: stdout)")
    parser.add_argument("-q", "--quiet", action="store_true", help=argparse.SUPPRESS)


def compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="FIRST", help="a folder of run documents, or one document")
    parser.add_argument(
        "second",
        metavar="SECOND",
        help="the same, to compare with the first; a verdict needs five runs on each side",
    )
    common(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return seconds
