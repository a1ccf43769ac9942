"""GPU memory benchmarks: measured bandwidth against what the memory should reach."""

__version__ = "0.1.0"
