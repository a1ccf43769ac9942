"""The stream family: a pass over whole arrays, in the access shape that the memory likes best."""

from gpubench.benchmarks.stream.benchmark import measure

__all__ = ["measure"]
