"""``gpubench compare``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpubench.command_line import file_name, one_of
from gpubench_client.cli.arguments import SERVERS, add_json, add_server
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.comparison.sides import SidesComparison

FAIL_ON = ("slower", "faster", "ambiguous", "not-comparable")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sides",
        nargs="+",
        metavar="SIDE",
        type=file_name,
        help="a folder of run documents, one document, a run id (with --server), several of these joined by "
        'commas, or a board of the catalogue, such as "RTX 5090": its theory and published figures; a '
        "verdict needs at least five runs on each side",
    )
    parser.add_argument(
        "--baseline",
        metavar="SIDE",
        type=file_name,
        help="the side that the others are compared with, as it was written or by its letter (default: the "
        "first, A)",
    )
    parser.add_argument(
        "--fail-on",
        metavar="VERDICT",
        type=one_of(*FAIL_ON),
        action="append",
        default=[],
        help=f"end with exit code 3 if any benchmark has this verdict: {', '.join(FAIL_ON)}; may be repeated",
    )
    parser.add_argument(
        "--generations",
        action="store_true",
        help="each device against GDDR6, GDDR6X and GDDR7 at its bus width: theory, projection, capacity, "
        "and vendors' claims beside what was measured; one side is enough",
    )
    add_server(parser, f"where run ids are looked up: {SERVERS}; default: $GPUBENCH_SERVER")
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    from gpubench.comparison.generations import generations_of
    from gpubench.comparison.sides import compare_sides
    from gpubench.errors import InvalidParameters
    from gpubench_client.cli.sides import read_sides

    if len(args.sides) < 2 and not args.generations:
        raise InvalidParameters("SIDE: there is only one; name at least two, such as before/ after/")
    sides, baseline, skipped = read_sides(args, output)
    if not args.generations and not any(side.documents for side in sides):
        raise InvalidParameters(
            "SIDE: none of the sides has a run; boards alone are compared by `gpubench theory`, or with "
            "--generations"
        )
    comparison = compare_sides(sides, baseline)
    generations = (
        [generations_of(side, number, comparison.rows) for number, side in enumerate(sides)]
        if args.generations
        else None
    )
    if output.json:
        from gpubench.report.sides import sides_json

        output.text(sides_json(comparison, skipped, generations).decode())
    else:
        from gpubench.report.terminal import generation_tables, pooled_tables, side_tables

        output.show(side_tables(comparison) if len(sides) > 1 else pooled_tables(comparison))
        if generations is not None:
            output.show(generation_tables(generations))
    _fail_on(comparison, args.fail_on)


def _fail_on(comparison: SidesComparison, words: list[str]) -> None:
    """Raises ``CheckFailed`` if a side got one of these verdicts."""
    from gpubench.errors import CheckFailed
    from gpubench.report.sides import letter, row_label

    wanted = {word.replace("-", " ").upper() for word in words}
    found: dict[tuple[int, str], list[str]] = {}
    for row in comparison.rows:
        for side, verdict in enumerate(row.verdicts):
            if verdict is not None and verdict.verdict in wanted:
                ratio = f" ({verdict.ratio:.4f})" if verdict.ratio is not None else ""
                found.setdefault((side, verdict.verdict), []).append(f"{row_label(row)}{ratio}")
    if found:
        lines = [f"{letter(side)} {word}: {', '.join(labels)}" for (side, word), labels in found.items()]
        raise CheckFailed("; ".join(lines))


COMMAND = Command(
    "compare", "compare sets of runs: faster, slower, the same, or undecided", add_arguments, execute
)
