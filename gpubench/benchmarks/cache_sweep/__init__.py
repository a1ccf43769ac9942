"""Bandwidth over footprint: that of each cache, and its size."""

from gpubench.benchmarks.cache_sweep.benchmark import measure

__all__ = ["measure"]
