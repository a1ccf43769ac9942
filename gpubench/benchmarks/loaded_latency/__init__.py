"""Latency under load: one group chases pointers while all others read."""

from gpubench.benchmarks.loaded_latency.benchmark import measure

__all__ = ["measure"]
