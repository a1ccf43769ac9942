"""Charts of a report: each with its data, its tables and its words, drawn by Altair and vl-convert."""

from gpubench.report.figures.catalog import figures
from gpubench.report.figures.model import Figure

__all__ = ["Figure", "figures"]
