"""Answers of a check for other programs: one table of dialects, and one of file formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpubench.comparison.acceptance.verdict import CheckReport
from gpubench.report.dialects import files, lines

DIALECTS: Mapping[str, Callable[[CheckReport], lines.Line]] = {
    "nagios": lines.nagios,
    "nhc": lines.nhc,
    "npd": lines.npd,
    "termination": lines.termination,
}
"""One line and an exit code."""

FORMATS: Mapping[str, Callable[[CheckReport], str]] = {
    ".ctrf.json": files.ctrf,
    ".json": files.json_text,
    ".xml": files.junit,
    ".prom": files.prometheus,
    ".md": files.markdown,
}
"""By the end of a file's name; the first that fits counts."""

__all__ = ["DIALECTS", "FORMATS"]
