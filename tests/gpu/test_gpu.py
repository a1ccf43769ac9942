"""What only a GPU can show: its description, its clock, its errors, and every shape on it."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pycuda.driver as cuda
import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Copy, Device, Launch, Runtime, Together
from gpubench.errors import BenchmarkFailed, OutOfDeviceMemory
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import candidates, chunk_bytes

MIB = 1 << 20
FOOTPRINT_BYTES = 256 * MIB

SPIN = """
extern "C" __global__ void spin(unsigned long long cycles) {
    const long long begin = clock64();
    while (clock64() - begin < (long long)cycles) {}
}
"""

LOSE = """
import os
from gpubench.devices.base import Launch
from gpubench.devices.runtimes import load_runtime
from gpubench.errors import DeviceLost
runtime = load_runtime("cuda")
device = runtime.open(runtime.devices()[0].id)
text = 'extern "C" __global__ void wild(unsigned long long *p) { *p = 1; }'
wild = device.compile(text).kernel("wild")
try:
    device.run([Launch(wild, 1, 1, (8,))])
except DeviceLost as error:
    print("lost:", error, flush=True)
os._exit(0)  # as the worker does: PyCUDA's destructors may end the process where the context is dead
"""


def attribute(name: str) -> int:
    """Of the first device, 0 if the driver does not know it."""
    try:
        return int(cuda.Device(0).get_attribute(getattr(cuda.device_attribute, name)))
    except cuda.Error:
        return 0


def needs(name: str, least: int = 1) -> None:
    """Skips a test of what this device does not have: that is no fault of a machine."""
    if (found := attribute(name)) < least:
        pytest.skip(f"{name} is {found} here, and this needs {least}")


def test_the_device_is_described(runtime: Runtime) -> None:
    info = runtime.devices()[0]
    assert info.id.startswith("cuda:GPU-")
    assert info.unavailable is None
    known = ("memory_bytes", "last_level_cache_bytes", "compute_units")
    assert {name: getattr(info, name) for name in known if not getattr(info, name)} == {}


@pytest.mark.parametrize(
    ("name", "field"),
    [("MEMORY_CLOCK_RATE", "memory_clock_hz"), ("GLOBAL_MEMORY_BUS_WIDTH", "bus_width_bits")],
)
def test_what_the_driver_knows_of_the_memory_is_described(runtime: Runtime, name: str, field: str) -> None:
    needs(name)
    assert getattr(runtime.devices()[0], field)


def test_free_memory_goes_down_with_an_allocation(device: Device) -> None:
    if attribute("INTEGRATED"):
        pytest.skip("the memory of an integrated GPU is the host's, and its free part that of all programs")
    before = device.free_bytes()
    memory = device.allocate(FOOTPRINT_BYTES)
    assert before - device.free_bytes() >= FOOTPRINT_BYTES
    memory.release()


def test_too_much_memory_is_refused_and_nothing_is_lost(device: Device) -> None:
    with pytest.raises(OutOfDeviceMemory):
        device.allocate(1 << 45)
    device.allocate(MIB).release()


@pytest.mark.parametrize("dtype", ELEMENT_BYTES)
@pytest.mark.parametrize("name", STREAM)
def test_every_shape_verifies(device: Device, name: str, dtype: str) -> None:
    benchmark, arena, programs = STREAM[name], Arena(device), Programs(device)
    shapes = candidates(device.info, benchmark.access, dtype, {})
    segments = arena.cut(
        FOOTPRINT_BYTES, benchmark.arrays, ELEMENT_BYTES[dtype], max(map(chunk_bytes, shapes))
    )
    task = StreamTask(programs, benchmark, dtype, segments, seed=1)
    task.fill()
    wrong = {shape: result for shape in shapes if (result := task.run_and_verify(shape)).mismatches}
    task.release()
    arena.release()
    assert wrong == {}


def test_the_clock_is_the_devices_and_launches_are_not_in_it(device: Device) -> None:
    spin = device.compile(SPIN).kernel("spin")

    def seconds(launches: int, cycles: int) -> float:
        return min(device.run([Launch(spin, 1, 1, (cycles,))] * launches) for _ in range(10))

    seconds(100, 1_000_000)
    assert 2_000_000 / 4e9 < seconds(1, 2_000_000) < 2_000_000 / 0.2e9
    # All are queued, which takes longer than to run them, before the first one begins.
    begin = time.monotonic()
    assert device.run([Launch(spin, 1, 1, (1,))] * 200) < 0.7 * (time.monotonic() - begin)


def test_a_long_queue_is_not_stuck_behind_its_hold(device: Device) -> None:
    spin = device.compile(SPIN).kernel("spin")
    begin = time.monotonic()
    device.run([Launch(spin, 1, 1, (1000,))] * 5000)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("pinned", [True, False])
def test_transfers_bring_back_what_was_sent(device: Device, pinned: bool) -> None:
    sent, back = (device.host_memory(FOOTPRINT_BYTES, pinned=pinned) for _ in range(2))
    memory = device.allocate(FOOTPRINT_BYTES)
    there = memory.view(0, FOOTPRINT_BYTES)
    sent.array[:] = np.random.default_rng(1).integers(0, 256, FOOTPRINT_BYTES, np.uint8)
    back.array[:] = 0
    begin = time.monotonic()
    seconds = device.run([Copy(there, sent, FOOTPRINT_BYTES), Copy(back, there, FOOTPRINT_BYTES)])
    # A pageable one behind the kernel that holds the stream would last as long as that.
    assert 0 < seconds <= time.monotonic() - begin < 2  # 256 MiB at 0.8 GB/s, over a single lane, take 0.7 s
    assert np.array_equal(sent.array, back.array)
    for each in (sent, back, memory):
        each.release()


def test_both_ways_at_once_take_less_than_one_after_the_other(device: Device) -> None:
    needs("ASYNC_ENGINE_COUNT", least=2)
    ends = [device.host_memory(FOOTPRINT_BYTES, pinned=True) for _ in range(2)]
    memory = device.allocate(2 * FOOTPRINT_BYTES)
    there = [memory.view(k * FOOTPRINT_BYTES, FOOTPRINT_BYTES) for k in range(2)]
    out, back = Copy(there[0], ends[0], FOOTPRINT_BYTES), Copy(ends[1], there[1], FOOTPRINT_BYTES)
    apart = min(device.run([out, back]) for _ in range(5))
    together = min(device.run([Together((out,), (back,))]) for _ in range(5))
    assert together < 0.95 * apart
    for each in (*ends, memory):
        each.release()


def test_a_launch_that_is_refused_loses_nothing(device: Device) -> None:
    spin = device.compile(SPIN).kernel("spin")
    with pytest.raises(BenchmarkFailed):
        device.run([Launch(spin, 1, 4096, (1,))])
    assert device.run([Launch(spin, 1, 1, (1000,))]) > 0


def test_a_wild_pointer_is_a_lost_device() -> None:
    done = subprocess.run([sys.executable, "-c", LOSE], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("lost:"), done.stderr
    assert done.returncode == 0, done.stderr


def test_the_clocks_are_live(device: Device) -> None:
    """Without NVML they are null, and nothing else is lost."""
    watch = device.watch()
    spin = device.compile(SPIN).kernel("spin")
    device.run([Launch(spin, 1, 1, (300_000_000,))])
    telemetry = watch.stop()
    assert telemetry.absent is not None or telemetry.samples
