"""The sides of a comparison, from the words of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from gpubench.catalog.load import Board
from gpubench.catalog.lookup import find_board
from gpubench.comparison.sides import Side
from gpubench.errors import CatalogError, InvalidParameters, NoSuchRun
from gpubench.report.sides import letter
from gpubench.results.document import RunDocument
from gpubench.text import encodable
from gpubench_client.cli.files import STREAM, document_files, read_kept_documents
from gpubench_client.cli.output import Output

_RUN_ID = re.compile(r"[0-9a-f]{16}")
_LIKE_A_PATH = re.compile(r"[/\\]|\.json$|^[.~-]")

Skipped = list[tuple[str, str]]
"""Files that could not be read, each with the reason."""


def read_sides(args: argparse.Namespace, output: Output) -> tuple[list[Side], int, Skipped]:
    """The sides, the number of the baseline, and what was skipped.

    A file that cannot be read is named on stderr, and left out where its side has others. A side of which
    nothing can be read is left out if at least two others remain and it is not the baseline. Raises
    ``InvalidParameters`` for anything else that cannot be compared.
    """
    words: Sequence[str] = args.sides  # names of files may be any bytes; where they are kept, they are text
    wanted = words[_baseline(args.baseline, words)]
    skipped: Skipped = []
    sides: list[Side] = []
    failed: list[str] = []
    for word in words:
        try:
            sides.append(_side(word, args, output, skipped))
        except InvalidParameters as error:
            if word == wanted or len(words) - len(failed) <= 2:
                raise
            failed.append(word)
            skipped.append((encodable(word), error.message))
            output.note(f"left out: {error.message}")
    return sides, [side.name for side in sides].index(encodable(wanted)), skipped


def _baseline(asked: str | None, words: Sequence[str]) -> int:
    if asked is None:
        return 0
    letters = [letter(number) for number in range(len(words))]
    if asked in words:
        return words.index(asked)
    if asked.upper() in letters:
        return letters.index(asked.upper())
    raise InvalidParameters(
        f"--baseline: {asked!r} is not one of the sides; write one of them as it is written, or its letter, "
        f"{letters[0]} to {letters[-1]}"
    )


def _side(word: str, args: argparse.Namespace, output: Output, skipped: Skipped) -> Side:
    """A path first: a file may have any name."""
    if not _exists(word) and "," in word:
        parts = [part.strip() for part in word.split(",") if part.strip()]
        return Side(
            encodable(word), tuple(d for part in parts for d in _documents(part, args, output, skipped))
        )
    if not (_exists(word) or _RUN_ID.fullmatch(word)):
        return Side(encodable(word), board=_board(word))
    return Side(encodable(word), tuple(_documents(word, args, output, skipped)))


def _documents(word: str, args: argparse.Namespace, output: Output, skipped: Skipped) -> list[RunDocument]:
    if not _exists(word):
        return [_from_server(word, args, output)]
    found, wrong = [], []
    for file in document_files(word):
        try:
            found += [each.document for each in read_kept_documents(file)]
        except InvalidParameters as error:
            wrong.append((encodable(file), error.message))
    if not found:
        others = f"; nor can the other {len(wrong) - 1} *.json of {word}" if len(wrong) > 1 else ""
        raise InvalidParameters(wrong[0][1] + others)
    for _, message in wrong:
        output.note(f"left out: {message}")
    skipped += wrong
    return found


def _from_server(run_id: str, args: argparse.Namespace, output: Output) -> RunDocument:
    from gpubench_client.cli.backend import open_server

    if not _RUN_ID.fullmatch(run_id):
        raise InvalidParameters(f"{run_id} cannot be read: No such file or directory")
    with open_server(args, output, f"the run id {run_id}") as client:
        try:
            return client.result(run_id)
        except NoSuchRun as error:
            raise InvalidParameters(f"SIDE: the server has no run {run_id!r}", **error.details) from None


def _board(word: str) -> Board:
    if _LIKE_A_PATH.search(word):
        raise InvalidParameters(f"{word} cannot be read: No such file or directory")
    try:
        return find_board(word)
    except CatalogError as error:
        raise InvalidParameters(
            f"SIDE: {word!r} is neither a file, nor a folder, nor a run id, nor a board: {error.message}"
        ) from None


def _exists(word: str) -> bool:
    try:
        return word == STREAM or Path(word).exists()
    except OSError as error:
        raise InvalidParameters(f"{word} cannot be read: {error.strerror}") from None
