"""A device that runs commands in the thread that calls it is not given any that wait for that thread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.devices.opencl.hold_trial import HOLD_SECONDS

PROGRAM = """
import os
from gpubench.devices.runtimes import load_runtime
from gpubench.kernels.programs import Programs
from gpubench.devices.base import Launch
device = load_runtime("opencl").open("opencl:pocl:0")
memory = device.allocate(4096)
launch = Launch(Programs(device).verify("double", 1).kernel("poison"), 1, 1, (memory.view(0, 4096), 512))
print(device._holds, device.run([launch] * 4) > 0, flush=True)
os._exit(0)
"""


def opened(cache: Path, pocl_device: str, seconds: float = 120) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "POCL_DEVICES": pocl_device, "GPUBENCH_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds,
    )
    return done.stdout.strip()


def test_a_device_that_holds_is_tried_once(tmp_path: Path) -> None:
    assert opened(tmp_path, "pthread") == "True True"
    (remembered,) = (tmp_path / "holds").iterdir()
    assert opened(tmp_path, "pthread") == "True True"
    remembered.write_text("damaged")
    assert opened(tmp_path, "pthread") == "True True"
    assert remembered.read_text() == "done\n"


def test_a_device_that_does_not_hold_runs_batches(tmp_path: Path) -> None:
    """Also after another device of the same driver was remembered."""
    assert opened(tmp_path, "pthread") == "True True"
    assert opened(tmp_path, "basic") == "False True"


@pytest.mark.timing
def test_a_trial_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    assert opened(tmp_path, "basic", seconds=HOLD_SECONDS + 30) == "False True"
