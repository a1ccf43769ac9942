"""The options of ``gpubench check`` that decide what is expected, and how many attempts there are."""

from __future__ import annotations

import argparse
import os
import re

from gpubench.catalog.load import Board
from gpubench.catalog.lookup import find_board
from gpubench.comparison.acceptance import AttemptRule, Rules, Sources, read_baseline
from gpubench.errors import CatalogError, InvalidParameters
from gpubench.text import encodable
from gpubench_client.cli.files import parse_file

VARIABLE = "GPUBENCH_BASELINE"

MAX_BASELINE_BYTES = 16 << 20

DEFAULT_ATTEMPTS = AttemptRule(2, 3)


def rules_of(args: argparse.Namespace, *, measuring: bool) -> Rules:
    """Raises ``InvalidParameters`` and ``CatalogError``; each names its option.

    Given documents are judged by most of them, unless ``--attempts`` says otherwise.
    """
    attempts = args.attempts or (DEFAULT_ATTEMPTS if measuring else None)
    if args.tolerance is not None and args.min_efficiency is not None:
        raise InvalidParameters("--tolerance and --min-efficiency exclude each other: the latter is a floor")
    baseline = args.baseline or os.environ.get(VARIABLE)
    sources = Sources(
        baseline=parse_file("--baseline", baseline, MAX_BASELINE_BYTES, read_baseline) if baseline else None,
        baseline_name=f"the baseline {encodable(str(baseline))}",
        tolerance_ratio=args.tolerance,
        min_efficiency=args.min_efficiency,
        like=_board(args.like) if args.like is not None else None,
    )
    return Rules(sources, attempts, args.expect_devices)


def _board(name: str) -> Board:
    try:
        return find_board(name)
    except CatalogError as error:
        raise CatalogError(f"--like: {error.message}") from None


def attempt_rule(text: str) -> AttemptRule:
    """A type for ``2-of-3``."""
    match = re.fullmatch(r"([0-9]{1,2})-of-([0-9]{1,2})", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of attempts; write 2-of-3")
    try:
        return AttemptRule(int(match[1]), int(match[2]))
    except InvalidParameters as error:
        raise argparse.ArgumentTypeError(error.message.removeprefix("--attempts: ")) from None


def share(text: str) -> float:
    """A type for a share of 0 to 1: ``5%``, ``5 %`` or ``0.05``."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?|\.[0-9]{1,6}) *(%?)", text.strip())
    ratio = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 < ratio < 1:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not allowed; allowed: a share above 0 and below 1, such as 5% or 0.05"
        )
    return ratio
