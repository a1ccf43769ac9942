"""Sustained: triad for seconds to minutes, window after window, with its power and heat."""

from gpubench.benchmarks.sustained.benchmark import measure

__all__ = ["measure"]
