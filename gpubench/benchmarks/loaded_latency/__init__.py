"""Latency under load: one group walks from pointer to pointer while all others read."""

from gpubench.benchmarks.loaded_latency.benchmark import measure

__all__ = ["measure"]
