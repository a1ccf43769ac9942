"""The command line ``gpubench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gpubench import __version__, errors
from gpubench.standard_streams import with_standard_streams
from gpubench_client.cli.commands import COMMANDS
from gpubench_client.cli.output import Output

OK, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 4, 130

_EXIT_CODES: tuple[tuple[type[errors.GpubenchError], int], ...] = (
    (errors.InvalidParameters, USAGE),
    (errors.CatalogError, USAGE),
    (errors.Unreachable, UNAVAILABLE),
    (errors.QueueFull, UNAVAILABLE),
    (errors.TooManyConnections, UNAVAILABLE),
    (errors.Draining, UNAVAILABLE),
    (errors.GpubenchError, FAILED),
)
"""The first row that fits counts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return with_standard_streams(lambda: _command(argv))


def _command(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    output = Output(json=getattr(args, "json", False), quiet=args.quiet)
    try:
        args.execute(args, output)
    except errors.GpubenchError as error:
        output.complain(f"gpubench: {error.message}")
        return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        output.complain("gpubench: interrupted")
        return INTERRUPTED
    return OK


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="gpubench",
        description="Measure the memory of GPUs, and say what the figure means.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"gpubench {__version__}")
    subparsers = top.add_subparsers(
        metavar="COMMAND", required=True, help="gpubench COMMAND --help tells more"
    )
    for command in COMMANDS:
        below = subparsers.add_parser(command.name, description=command.summary, allow_abbrev=False)
        command.arguments(below)
        below.set_defaults(execute=command.execute)
    return top


def _epilog() -> str:
    lines = [f"  {command.name:<12}{command.summary}" for command in COMMANDS]
    codes = "0 ok, 1 failed, 2 usage, 4 no server answers or it is busy, 130 interrupted"
    return "\n".join(["commands:", *lines, "", f"exit codes: {codes}"])


if __name__ == "__main__":
    sys.exit(main())
