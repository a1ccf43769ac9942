"""The transfer family: between host and device, and within the device by its copy engine and by a kernel."""

from gpubench.benchmarks.transfer.benchmark import measure

__all__ = ["measure"]
