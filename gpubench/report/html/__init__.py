"""The report as one page of HTML that needs nothing else."""

from gpubench.report.html.page import render_html

__all__ = ["render_html"]
