"""Whether the device makes the same data as the host: kernels and their verification share that code."""

from __future__ import annotations

import numpy as np

from gpubench.devices.base import Device, Launch
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.shapes import helper_grid
from gpubench.measure.verification.host_data import rows

_SALT = 0x5EED5A17
_COUNT = 1024
_FIRST = 2**32 - _COUNT // 2
"""Half of the indices need more than 32 bits."""

_ELEMENT_COLUMN = 1


def verify_device_data(device: Device, programs: Programs, dtype: str) -> None:
    """Compare a thousand values of each kind; of elements too, if the device has that type.

    Raises ``BenchmarkFailed`` if any differs: with constant data, for example, kernels that skip work
    would pass their verification.
    """
    width = ELEMENT_BYTES[dtype]
    expected = rows(_FIRST, _COUNT, _SALT, width)
    grid = helper_grid(device.info)
    kernel = programs.verify(dtype, grid.group_size).kernel("tell_data")
    memory = device.allocate(expected.nbytes)
    try:
        view = memory.view(0, expected.nbytes)
        device.run([Launch(kernel, grid.groups, grid.group_size, (view, _COUNT, _FIRST, _SALT))])
        actual = np.array(device.read_words(view, expected.size, width), expected.dtype)
    finally:
        memory.release()
    wrong = actual.reshape(expected.shape) != expected
    if dtype == "double" and not device.info.has_double:
        wrong[:, _ELEMENT_COLUMN] = False
    if wrong.any():
        raise BenchmarkFailed(
            f"the device computes {int(wrong.sum())} of {wrong.size} {dtype} values differently from the "
            "host, so no check would mean anything: its compiler or arithmetic is wrong; try another driver"
        )
