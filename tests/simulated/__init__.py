"""A device for tests of what measures: it moves real bytes in host memory, in the time that a test states.

It keeps to the seam in ``gpubench/devices/base.py``. Its clock moves on with the work that it is given and
with nothing else, so that figures come out exactly and nobody waits; ``SimulatedClock.rules`` makes what
measures read that clock too. The device compiles nothing: ``kernels.py`` has the Python functions that stand
for kernels. A test sets its fields, or overrides a method. Users never see it.
"""

from tests.simulated.clock import SimulatedClock
from tests.simulated.device import GPU, PROCESSOR, Conditions, SimulatedDevice, SimulatedProgram, Work
from tests.simulated.memory import Buffer, SimulatedAllocation, SimulatedHostMemory

__all__ = [
    "GPU",
    "PROCESSOR",
    "Buffer",
    "Conditions",
    "SimulatedAllocation",
    "SimulatedClock",
    "SimulatedDevice",
    "SimulatedHostMemory",
    "SimulatedProgram",
    "Work",
]
