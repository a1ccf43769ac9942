"""Bandwidth over footprint: what caches carry, and where each of them ends."""

from gpubench.benchmarks.cache_sweep.benchmark import measure

__all__ = ["measure"]
