"""Comparison of figures with theory, references, and other runs."""

from gpubench.comparison.compare import Comparison, Excluded, Result, compare
from gpubench.comparison.curves import Curve, CurveSeries
from gpubench.comparison.references import Projection, PublishedFigure, Reference
from gpubench.comparison.verdicts import Verdict, compare_runs, why_unusable

__all__ = [
    "Comparison",
    "Curve",
    "CurveSeries",
    "Excluded",
    "Projection",
    "PublishedFigure",
    "Reference",
    "Result",
    "Verdict",
    "compare",
    "compare_runs",
    "why_unusable",
]
