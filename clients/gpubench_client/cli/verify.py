"""``gpubench verify``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.arguments import add_json, digest
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

_EPILOG = """\
The SHA-256 is over the document's JSON with sorted keys and without spaces. It shows that a document was not
changed since its sum was printed, in a report or a picture, and not that its figures are honest.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a run document, as JSON or packed by gzip, or a report in HTML, which carries its documents; "
        "- is stdin",
    )
    parser.add_argument(
        "--sha256",
        metavar="DIGITS",
        type=digest,
        help="what was printed: all 64 digits, or at least the first 16",
    )
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    """Raises ``DocumentError`` if any document is not the one whose sum was printed."""
    from gpubench.errors import InvalidDocument
    from gpubench_client.cli.files import read_kept_documents

    found = read_kept_documents(args.file)
    changed = [each for each in found if each.printed is not None and each.printed != each.sha256]
    same = [each for each in found if args.sha256 is None or each.sha256.startswith(args.sha256)]
    if output.json:
        rows = [
            {
                "name": each.name,
                "run_id": each.document.run_id,
                "sha256": each.sha256,
                "printed": each.printed,
            }
            for each in found
        ]
        output.data({"documents": rows, "unchanged": bool(same) and not changed})
    else:
        for each in found:
            stated = (
                "" if each.printed is None else ", as printed" if each not in changed else ", NOT as printed"
            )
            output.text(f"{each.sha256}  {each.name}, run {each.document.run_id[:64]}{stated}")
    if changed:
        raise InvalidDocument(
            f"{changed[0].name} was changed: the page states SHA-256 {changed[0].printed} for it"
        )
    if not same:
        raise InvalidDocument(
            f"{args.file} was changed, or is another run: no document has SHA-256 {args.sha256}"
        )
    if args.sha256 is None and all(each.printed is None for each in found):
        output.note("compare it with the sum that was printed, or give that with --sha256")
    else:
        output.note(
            "unchanged since the sum was printed; that says nothing about whether the figures are honest"
        )


COMMAND = Command(
    "verify", "check that run documents are those of a report or a picture", add_arguments, execute
)
