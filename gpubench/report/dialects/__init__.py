"""Answers of a check for other programs: one table of dialects, and one of file formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gpubench.comparison.acceptance.verdict import CheckReport
from gpubench.report.dialects import files, lines
from gpubench.report.formats import Format

DIALECTS: Mapping[str, Callable[[CheckReport], lines.Line]] = {
    "nagios": lines.nagios,
    "nhc": lines.nhc,
    "npd": lines.npd,
    "termination": lines.termination,
}
"""One line and an exit code."""


def _format(name: str, endings: tuple[str, ...], render: Callable[[CheckReport], str]) -> Format[CheckReport]:
    return Format(name, endings, lambda report: render(report).encode())


FORMATS: Sequence[Format[CheckReport]] = (
    _format("Common Test Report Format", (".ctrf.json",), files.ctrf),
    _format("JSON, the whole answer", (".json",), files.json_text),
    _format("JUnit XML", (".xml",), files.junit),
    _format("Prometheus textfile", (".prom",), files.prometheus),
    _format("Markdown", (".md", ".markdown"), files.markdown),
)
"""Files, by the end of their names: the first that fits counts."""

__all__ = ["DIALECTS", "FORMATS"]
