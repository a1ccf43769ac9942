"""Whether the device makes the data as the host does: kernels and their checks take it from one file."""

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
"""Indices on both sides of where they need more than 32 bits."""

_ELEMENT_COLUMN = 1


def check_data(device: Device, programs: Programs, dtype: str) -> None:
    """Compare a thousand values of each kind, those of the elements too where the device has such numbers.

    Raises ``BenchmarkFailed``: with constant data, say, kernels that skip work would pass their checks.
    """
    width = ELEMENT_BYTES[dtype]
    expected = rows(_FIRST, _COUNT, _SALT, width)
    grid = helper_grid(device.info)
    kernel = programs.verify(dtype, grid.group_size).kernel("tell_data")
    memory = device.allocate(expected.nbytes)
    try:
        view = memory.view(0, expected.nbytes)
        device.run([Launch(kernel, grid.groups, grid.group_size, (view, _COUNT, _FIRST, _SALT))])
        told = np.array(device.read_words(view, expected.size, width), expected.dtype).reshape(expected.shape)
    finally:
        memory.release()
    wrong = told != expected
    if dtype == "double" and not device.info.has_double:
        wrong[:, _ELEMENT_COLUMN] = False
    if wrong.any():
        raise BenchmarkFailed(
            f"the device makes {int(wrong.sum())} of {wrong.size} {dtype} values otherwise than the host, so "
            "that no check would mean anything: its compiler or its arithmetic is wrong; try another driver"
        )
