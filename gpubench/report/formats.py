"""The formats in which runs are written to a file, by the ending of its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from gpubench.errors import InvalidParameters
from gpubench.report.markdown import render_markdown
from gpubench.results.document import RunDocument, encode_document
from gpubench.results.records import records_csv

Subject = TypeVar("Subject")
"""What is written: runs, or the answer of a check."""


class Format(NamedTuple, Generic[Subject]):
    """``endings`` are in lower case, with the dot.

    ``render`` gives the whole file, and imports what is slow to load when it runs. Its second argument is
    ``references`` of ``gpubench.comparison.compare.compare``, which only reports on runs use.
    """

    name: str
    endings: tuple[str, ...]
    render: Callable[[Subject, bool | None], bytes]


def _markdown(documents: Sequence[RunDocument], references: bool | None) -> bytes:
    return render_markdown(documents, references=references).encode()


def _csv(documents: Sequence[RunDocument], references: bool | None) -> bytes:
    return records_csv(documents).encode()


def _json(documents: Sequence[RunDocument], references: bool | None) -> bytes:
    return b"".join(encode_document(document) + b"\n" for document in documents)


MARKDOWN = Format("Markdown", (".md", ".markdown"), _markdown)
CSV = Format("CSV, a row for each figure", (".csv",), _csv)
JSON = Format("JSON, the run document", (".json",), _json)

REPORT_FORMATS = (MARKDOWN, CSV)
"""What ``gpubench report`` writes. A new format is a row here."""

RUN_FORMATS = (JSON, CSV)
"""What is written of a run just made: the document, which ``report`` reads, or its figures alone."""


def format_of(path: str, formats: Sequence[Format[Subject]]) -> Format[Subject]:
    """The first format that has the file's ending; the first of ``formats`` if the name has no ending.

    Raises ``InvalidParameters``, which lists the endings, for any other ending.
    """
    ending = os.path.splitext(path)[1]  # noqa: PTH122 - text of a person, not yet a path that can exist
    if not ending:
        return formats[0]
    for each in formats:
        if path.lower().endswith(each.endings):
            return each
    raise InvalidParameters(
        f"{path} ends in {ending}, which is no format that can be written here; allowed: {describe(formats)}"
    )


def describe(formats: Sequence[Format[Subject]]) -> str:
    """The endings, each with its format: ``.md (Markdown), .csv (CSV, a row for each figure)``."""
    return ", ".join(f"{each.endings[0]} ({each.name})" for each in formats)
