"""Comparisons in several formats. Those for a terminal, in ``terminal``, need rich."""

from gpubench.report.markdown import render_markdown
from gpubench.report.text_table import Table
from gpubench.report.theory import TheoryReport, describe_theory, render_theory, theory_json

__all__ = [
    "Table",
    "TheoryReport",
    "describe_theory",
    "render_markdown",
    "render_theory",
    "theory_json",
]
