"""``gpubench run --repeat 5 --out folder/``: several runs of one request, each in a file of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from gpubench.errors import InvalidParameters
from gpubench_client.cli.files import STREAM
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.results.document import RunDocument

Measure = Callable[[str | None], "RunDocument | None"]
"""Measure once, and write the document to the file of this name, if there is one."""


def run_repeatedly(args: argparse.Namespace, measure: Measure, output: Output) -> None:
    """As often as ``--repeat`` asks; then what the runs have in common. The first that fails ends the series.

    Raises ``InvalidParameters`` before anything is measured if the options do not go together.
    """
    _check(args)
    folder = _folder(args.out, args.repeat)
    names = _free_names(folder) if folder is not None else None
    documents = []
    for number in range(args.repeat):
        if args.repeat > 1:
            output.note(f"run {number + 1} of {args.repeat}")
        document = measure(str(next(names)) if names is not None else args.out)
        if document is not None:
            documents.append(document)
    if args.repeat > 1 and not output.json:
        _show(documents, output)
    if args.repeat > 1 and folder is not None:
        output.note(f"`gpubench compare {folder} OTHER` compares these runs with those of another folder")


def _check(args: argparse.Namespace) -> None:
    if args.repeat == 1:
        return
    if args.detach:
        raise InvalidParameters("--repeat: with --detach nothing is waited for; leave one of them out")
    if args.key is not None:
        raise InvalidParameters("--repeat: one --key gives one run, however often; leave one of them out")


def _folder(out: str | None, repeat: int) -> Path | None:
    """The folder that ``--out`` names, made if it is not there; None if it is a file."""
    if out in (None, STREAM):
        return None
    folder = Path(out)
    named_as_folder = out.endswith(("/", os.sep)) or folder.is_dir()
    if not named_as_folder and repeat == 1:
        return None
    if not named_as_folder and (folder.exists() or folder.suffix):
        raise InvalidParameters(f"--out: {out} is one file for {repeat} runs; name a folder, such as runs/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidParameters(f"--out: {out} cannot be made: {error.strerror}") from None
    return folder


def _free_names(folder: Path) -> Iterator[Path]:
    """Names in the order of time that no file in the folder has."""
    for number in count(1):
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = folder / f"{now}-{number:03}.json"
        if not path.exists():
            yield path


def _show(documents: list[RunDocument], output: Output) -> None:
    from gpubench.comparison.sides import Side, compare_sides
    from gpubench.report.terminal import pooled_tables

    if documents:
        output.show(pooled_tables(compare_sides([Side("these runs", tuple(documents))])))
