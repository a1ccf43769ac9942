"""Integrity: patterns over free memory, every wrong read counted, its kind of error told."""

from gpubench.benchmarks.integrity.benchmark import measure

__all__ = ["measure"]
