"""The command line ``gpubench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from signal import Signals

from gpubench import errors
from gpubench.standard_streams import with_standard_streams
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output
from gpubench_client.cli.parser import parse

OK, FAILED, USAGE, NOT_RIGHT, UNAVAILABLE = 0, 1, 2, 3, 4

_EXIT_CODES: tuple[tuple[type[errors.GpubenchError], int], ...] = (
    (errors.InvalidParameters, USAGE),
    (errors.CatalogError, USAGE),
    (errors.CheckFailed, NOT_RIGHT),
    (errors.Unreachable, UNAVAILABLE),
    (errors.QueueFull, UNAVAILABLE),
    (errors.TooManyConnections, UNAVAILABLE),
    (errors.Draining, UNAVAILABLE),
    (errors.GpubenchError, FAILED),
)
"""The first row that fits counts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return with_standard_streams(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    output = Output()
    try:
        command, args = parse(argv)
        output = Output(json=getattr(args, "json", False), quiet=args.quiet)
        return _execute(command, args, output)
    except errors.GpubenchError as error:
        output.error(f"gpubench: {error.message}")
        return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt as interrupt:
        # `run` and `watch` name the signal that ended them; elsewhere only ^C is raised.
        output.error(f"gpubench: {str(interrupt) or 'interrupted'}")
        number = getattr(interrupt, "number", Signals.SIGINT)
        return 128 + int(number)


def _execute(command: Command, args: argparse.Namespace, output: Output) -> int:
    # Not for help, which must be quick; and before a limit is reached that keeps modules from being read.
    from gpubench.devices.process_limits import limit_reached

    try:
        return command.execute(args, output) or OK
    except (OSError, MemoryError, RuntimeError) as error:
        if (reached := limit_reached(error)) is None:
            raise
        raise reached from None
