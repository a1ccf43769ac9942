"""What a command of the command line consists of."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from gpubench_client.cli.output import Output


class Command(NamedTuple):
    """``summary`` is its line in ``gpubench --help``.

    Its module is imported for every command line, so ``execute`` imports what it needs when it runs. It
    returns the exit code if that is not 0.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace, Output], int | None]
