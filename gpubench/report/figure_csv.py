"""The data of figures as CSV: a row for each mark, with the units in the names of the columns."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.report.figures.model import Figure, Row
from gpubench.report.subject import Subject
from gpubench.results.records import csv_text


def figures_csv(subject: Subject, figures: Sequence[Figure]) -> str:
    """``figure``, ``run_id`` and ``document_sha256`` come first; a board of the catalogue has no run."""
    known = {each.label: each for each in subject.entries}
    rows: list[Row] = []
    for figure in figures:
        for row in figure.rows:
            entry = known.get(row.get("device", ""))
            rows.append(
                {
                    "figure": figure.name,
                    "run_id": entry.document.run_id if entry else None,
                    "document_sha256": entry.kept.sha256 if entry else None,
                    **row,
                }
            )
    return csv_text(["figure", "run_id", "document_sha256"], rows)
