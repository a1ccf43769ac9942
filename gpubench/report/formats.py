"""The formats in which runs are written to a file, by the ending of its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from gpubench.errors import InvalidParameters
from gpubench.report.markdown import render_markdown
from gpubench.report.subject import Subject
from gpubench.results.document import encode_document
from gpubench.results.records import records_csv

What = TypeVar("What")
"""What is written: runs, or the answer of a check."""


class Format(NamedTuple, Generic[What]):
    """``endings`` are in lower case, with the dot.

    ``render`` gives the whole file, and imports what is slow to load when it runs.
    """

    name: str
    endings: tuple[str, ...]
    render: Callable[[What], bytes]


def _markdown(subject: Subject) -> bytes:
    digests = [each.sha256 for each in subject.kept]
    return render_markdown(subject.documents, references=subject.references, digests=digests).encode()


def _html(subject: Subject) -> bytes:
    from gpubench.report.html import render_html

    return render_html(subject).encode()


def _csv(subject: Subject) -> bytes:
    return records_csv(subject.kept).encode()


def _json(subject: Subject) -> bytes:
    return b"".join(encode_document(document) + b"\n" for document in subject.documents)


def _report_json(subject: Subject) -> bytes:
    from gpubench.report.report_json import report_json

    return report_json(subject)


def svg_file(drawing: str) -> bytes:
    return drawing.encode()


def png_file(drawing: str) -> bytes:
    from gpubench.report.figures.draw import png

    return png(drawing)


def pdf_file(drawing: str) -> bytes:
    from gpubench.report.figures.draw import pdf

    return pdf(drawing)


def _sheet(convert: Callable[[str], bytes]) -> Callable[[Subject], bytes]:
    def render(subject: Subject) -> bytes:
        from gpubench.report.pictures import sheet

        return convert(sheet(subject))

    return render


MARKDOWN = Format("Markdown", (".md", ".markdown"), _markdown)
HTML = Format("HTML, one page that works offline", (".html", ".htm"), _html)
CSV = Format("CSV, a row for each figure", (".csv",), _csv)
JSON = Format("JSON, the run document", (".json",), _json)
REPORT_JSON = Format("JSON, the comparison", (".json",), _report_json)
SVG = Format("SVG, all charts", (".svg",), _sheet(svg_file))
PNG = Format("PNG, all charts", (".png",), _sheet(png_file))
PDF = Format("PDF, all charts", (".pdf",), _sheet(pdf_file))

REPORT_FORMATS = (MARKDOWN, HTML, CSV, REPORT_JSON, SVG, PNG, PDF)
"""What ``gpubench report`` writes. A new format is a row here."""

RUN_FORMATS = (JSON, CSV)
"""What is written of a run just made: the document, which ``report`` reads, or its figures alone."""


def format_of(path: str, formats: Sequence[Format[What]]) -> Format[What]:
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


def describe(formats: Sequence[Format[What]]) -> str:
    """The endings, each with its format: ``.md (Markdown), .csv (CSV, a row for each figure)``."""
    return ", ".join(f"{each.endings[0]} ({each.name})" for each in formats)
