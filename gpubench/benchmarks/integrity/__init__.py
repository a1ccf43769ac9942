"""Integrity: patterns over free memory; every wrong read is counted, and its kind of error determined."""

from gpubench.benchmarks.integrity.benchmark import measure

__all__ = ["measure"]
