"""Sustained: triad for seconds to minutes, window after window, and what it costs in power and heat."""

from gpubench.benchmarks.sustained.benchmark import measure

__all__ = ["measure"]
