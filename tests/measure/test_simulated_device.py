"""The simulated device beside a real one: the same launches leave the same bytes in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Copy, Device, Together
from gpubench.errors import BenchmarkFailed, DeviceLost, OutOfDeviceMemory
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena, Segment
from gpubench.measure.shapes import chunk_bytes
from gpubench.measure.verification.device_data import verify_device_data
from gpubench.results.document import Mismatch, Shape
from tests.measure.conftest import MIB
from tests.simulated import GPU, Conditions, SimulatedDevice

SHAPES = [
    Shape(32, 4, 1, "tile", False, 7),
    Shape(64, 4, 1, "halves", False, 7),
    Shape(16, 2, 32, "grid", False, 5),
    Shape(64, 4, 32, "tile", False, 200),
    Shape(16, 4, 32, "grid", False, None),
]


@dataclass
class Task:
    """A stream benchmark on a device, over 1 MiB."""

    device: Device
    task: StreamTask
    segments: list[Segment]

    def words(self, array: int) -> list[int]:
        width = ELEMENT_BYTES[self.task.dtype]
        found = (self.device.read_words(s.arrays[array], s.elements, width) for s in self.segments)
        return [word for words in found for word in words]


@contextmanager
def made_on(device: Device, name: str, dtype: str, shape: Shape) -> Iterator[Task]:
    arena, row = Arena(device), STREAM[name]
    segments = arena.cut(MIB, row.arrays, ELEMENT_BYTES[dtype], chunk_bytes(shape))
    task = StreamTask(Programs(device), row, dtype, segments, seed=7)
    task.fill()
    yield Task(device, task, segments)
    task.release()
    arena.release()


@pytest.fixture
def beside(device: Device) -> SimulatedDevice:
    return SimulatedDevice(device.info)


@pytest.mark.parametrize(("shape", "dtype"), [(SHAPES[0], "float"), *((each, "double") for each in SHAPES)])
@pytest.mark.parametrize("name", STREAM)
def test_the_same_launches_leave_the_same_bytes(
    device: Device, beside: SimulatedDevice, name: str, dtype: str, shape: Shape
) -> None:
    """But for the last bit of a triad, which may be fused or not."""
    last_bits = 1 if name == "triad" else 0
    with made_on(device, name, dtype, shape) as real, made_on(beside, name, dtype, shape) as simulated:
        assert real.task.run_and_verify(shape).mismatches == 0
        assert simulated.task.run_and_verify(shape).mismatches == 0
        for array in range(STREAM[name].arrays):
            ours, theirs = (np.array(each.words(array), np.uint64) for each in (simulated, real))
            assert np.minimum(ours - theirs, theirs - ours).max() <= last_bits
        if name == "read":
            assert simulated.task.sum_of_groups(shape) == real.task.sum_of_groups(shape)


@pytest.mark.parametrize("name", ["triad", "read"])
def test_what_is_wrong_is_found_alike(device: Device, beside: SimulatedDevice, name: str) -> None:
    """Of the elements that nobody wrote, and of the groups that summed other data."""
    shape, found = SHAPES[0], []
    for each in (device, beside):
        with made_on(each, name, "double", shape) as made:
            made.task.poison(shape)
            if name == "read":
                each.write_zeros(made.segments[0].arrays[0])
                each.run(made.task.launches(shape))
            result = made.task.verify(shape)
            found.append((result.mismatches, [sorted_out(mismatch, name) for mismatch in result.first]))
    assert found[0] == found[1]
    assert found[0][0] == (sum(s.elements for s in made.segments) if name == "triad" else 7)


def sorted_out(mismatch: Mismatch, name: str) -> Mismatch:
    """Which of many elements are reported first is left to chance."""
    return Mismatch(0, "any", mismatch.actual) if name == "triad" else mismatch


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_its_data_are_the_hosts(beside: SimulatedDevice, dtype: str) -> None:
    verify_device_data(beside, Programs(beside), dtype)


def test_time_is_bytes_over_the_pace() -> None:
    device = SimulatedDevice(pace=lambda work: 1e9, launch_seconds=1e-3)
    with made_on(device, "triad", "double", SHAPES[0]) as made:
        begin = device.clock.seconds
        seconds = device.run(made.task.launches(SHAPES[0]))
    assert seconds == pytest.approx(1e-3 + made.task.footprint_bytes / 1e9)
    assert device.clock.seconds - begin == pytest.approx(seconds)


def test_copies_bring_what_they_say_and_rows_end_together() -> None:
    device = SimulatedDevice(pace=lambda work: 1e6)
    there, back = device.allocate(8192), device.host_memory(8192, pinned=True)
    source = device.host_memory(8192, pinned=False)
    source.array[:] = np.arange(8192) % 251
    target = there.view(0, 8192)
    assert device.run([Copy(target, source, 1000)]) == pytest.approx(1e-3)
    assert device.read_words(target, 1001, 1) == [*source.array[:1000].tolist(), 0]
    both = Together((Copy(target, source, 8192),), (Copy(back, target, 1000), Copy(back, target, 1000)))
    assert device.run([both]) == pytest.approx(8192e-6)
    assert back.array[:1000].tolist() == source.array[:1000].tolist()
    there.release()


def test_memory_is_as_large_as_it_is_said_to_be() -> None:
    device = SimulatedDevice(msgspec.structs.replace(GPU, max_allocation_bytes=4 * MIB), taken_bytes=10 * MIB)
    with pytest.raises(OutOfDeviceMemory):
        device.allocate(5 * MIB)
    held = device.allocate(4 * MIB)
    assert device.free_bytes() == 2 * MIB
    with pytest.raises(OutOfDeviceMemory):
        device.allocate(3 * MIB)
    held.release()
    assert device.free_bytes() == 6 * MIB


def test_memory_that_was_released_is_not_used() -> None:
    memory = SimulatedDevice().allocate(8192)
    view = memory.view(4096, 4096)
    with pytest.raises(AssertionError, match="no multiple of 4096"):
        memory.view(8, 8)
    with pytest.raises(AssertionError, match="beyond its allocation"):
        memory.view(4096, 8192)
    memory.release()
    with pytest.raises(AssertionError, match="used after its release"):
        _ = view.array
    with pytest.raises(AssertionError, match="released twice"):
        memory.release()


def test_a_lost_device_stays_lost() -> None:
    device = SimulatedDevice(lost_at_seconds=1001.0)
    memory = device.allocate(4096)
    device.clock.sleep(1.0)
    with pytest.raises(DeviceLost):
        device.run([Copy(memory.view(0, 4096), device.host_memory(4096, pinned=True), 4096)])
    with pytest.raises(DeviceLost):
        device.allocate(4096)


def test_peers_are_those_that_are_given() -> None:
    peer = msgspec.structs.replace(GPU, id="cuda:GPU-2")
    device = SimulatedDevice(peer_infos=[peer])
    assert device.peer_memory(peer.id, 4096).nbytes == 4096
    with pytest.raises(BenchmarkFailed):
        device.peer_memory("cuda:GPU-3", 4096)


def test_a_watch_looks_every_50_ms_and_at_the_end() -> None:
    device = SimulatedDevice(
        conditions=lambda seconds: Conditions(watts=100.0 if seconds < 1000.1 else 200.0)
    )
    watch = device.watch()
    device.clock.sleep(0.12)
    telemetry = watch.stop()
    assert [look.seconds for look in telemetry.samples] == pytest.approx([0.05, 0.1, 0.12])
    assert [look.power_watts for look in telemetry.samples] == [100.0, 200.0, 200.0]
    assert telemetry.energy_joules == pytest.approx(100 * 0.05 + 200 * 0.05 + 200 * 0.02)
