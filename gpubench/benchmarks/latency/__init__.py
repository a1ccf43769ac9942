"""Latency over footprint: a pointer chase, and the levels that its curve shows."""

from gpubench.benchmarks.latency.benchmark import measure

__all__ = ["measure"]
