"""Latency over footprint: a walk from pointer to pointer, and the levels that its curve shows."""

from gpubench.benchmarks.latency.benchmark import measure

__all__ = ["measure"]
