"""The simulated device itself, behind the seam."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from gpubench.devices.base import Copy, Launch, Operation, Together
from gpubench.errors import BenchmarkFailed, DeviceLost, OutOfDeviceMemory
from gpubench.results.machine import Clocks, DeviceInfo, Telemetry, TelemetrySample, Usage
from tests.simulated.clock import SimulatedClock
from tests.simulated.kernels import KERNELS, Grid
from tests.simulated.memory import Buffer, SimulatedAllocation, SimulatedHostMemory

MIB = 1 << 20
LOOK_SECONDS = 0.05
"""Between two looks of a watch, as of NVML's."""

GPU = DeviceInfo(
    id="cuda:GPU-1",
    alias="cuda-gpu0",
    runtime="cuda",
    kind="gpu",
    name="a simulated GPU",
    hardware_id="0000:01:00.0",
    vendor="NVIDIA",
    compute_units=2,
    memory_bytes=16 * MIB,
    last_level_cache_bytes=64 << 10,
    bus_width_bits=8,
    memory_clock_hz=62_500_000,
)
"""Its theory is 125 MB/s, so that few bytes make a sample; a quarter of its memory is beyond its cache."""

PROCESSOR = msgspec.structs.replace(
    GPU,
    id="opencl:simulated:0",
    alias="opencl-cpu0",
    runtime="opencl",
    kind="cpu",
    name="a simulated processor",
    hardware_id="host",
    vendor=None,
    bus_width_bits=None,
    memory_clock_hz=None,
)


@dataclass(frozen=True)
class Conditions:
    """What a look at the device finds; None is what it does not report."""

    memory_clock_hz: int | None = None
    compute_clock_hz: int | None = None
    watts: float | None = None
    celsius: float | None = None
    limits: tuple[str, ...] = ()
    others_busy_ratio: float | None = None
    kernels_busy_ratio: float | None = None
    other_processes: int | None = None
    memory_busy_ratio: float | None = None
    processes: tuple[str, ...] = ()
    others_device_busy_ratio: float | None = None
    throttled_seconds: float | None = None


@dataclass(frozen=True)
class Work:
    """An operation that is about to take its time; ``kernel`` is null for a copy."""

    operation: Launch | Copy
    nbytes: int
    seconds: float
    """On the device's clock, when it begins."""

    @property
    def kernel(self) -> SimulatedKernel | None:
        return self.operation.kernel if isinstance(self.operation, Launch) else None

    @property
    def groups(self) -> int:
        """1 of a copy."""
        return self.operation.groups if isinstance(self.operation, Launch) else 1

    @property
    def buffers(self) -> list[Buffer]:
        ends = (
            self.operation.arguments
            if isinstance(self.operation, Launch)
            else (self.operation.source, self.operation.destination)
        )
        return [each for each in ends if isinstance(each, Buffer)]


@dataclass(frozen=True)
class SimulatedKernel:
    name: str
    definitions: Mapping[str, str]

    def defined(self, name: str) -> int:
        """0 of what the program does not define."""
        return int(self.definitions.get(name, 0))


@dataclass(frozen=True)
class SimulatedProgram:
    definitions: Mapping[str, str]

    def kernel(self, name: str) -> SimulatedKernel:
        assert name in KERNELS, f"the simulated device has no kernel {name}: add it to kernels.py"
        return SimulatedKernel(name, self.definitions)


@dataclass
class SimulatedDevice:
    """Moves bytes at ``pace``, byte/s, after ``launch_seconds`` for each operation.

    ``conditions`` is what a look finds at a time. ``taken_bytes`` of its memory belong to others. Once its
    clock reaches ``lost_at_seconds`` it is lost. ``runs`` keeps what it was given, call by call.
    """

    info: DeviceInfo = GPU
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    pace: Callable[[Work], float] = lambda work: 100e6
    launch_seconds: float = 0.0
    conditions: Callable[[float], Conditions] = lambda seconds: Conditions()
    unwatched: str | None = None
    """Why a watch finds nothing, if it does."""
    taken_bytes: int = 0
    lost_at_seconds: float | None = None
    peer_infos: list[DeviceInfo] = field(default_factory=list)
    allocations: list[SimulatedAllocation] = field(default_factory=list)
    """Those that are not released."""
    late_starts: int = 0
    """A test that lets a run begin late adds one."""
    runs: list[list[Operation]] = field(default_factory=list)

    compiler = "nothing"

    def free_bytes(self) -> int:
        self._look_alive()
        held = sum(each.nbytes for each in self.allocations)
        return (self.info.memory_bytes or 0) - self.taken_bytes - held

    def allocate(self, nbytes: int) -> SimulatedAllocation:
        if nbytes > min(self.free_bytes(), self.info.max_allocation_bytes or nbytes):
            raise OutOfDeviceMemory(
                f"{self.info.name} cannot allocate {nbytes} bytes in one piece; ask for less"
            )
        self.allocations.append(SimulatedAllocation(nbytes, self.allocations.remove))
        return self.allocations[-1]

    def host_memory(self, nbytes: int, *, pinned: bool) -> SimulatedHostMemory:
        return SimulatedHostMemory(nbytes, pinned)

    def peers(self) -> list[DeviceInfo]:
        return self.peer_infos

    def peer_memory(self, peer_id: str, nbytes: int) -> SimulatedAllocation:
        if peer_id not in [each.id for each in self.peer_infos]:
            raise BenchmarkFailed(f"{self.info.name} has no peer {peer_id!r}")
        return SimulatedAllocation(nbytes, lambda allocation: None)

    def compile(self, text: str) -> SimulatedProgram:
        """Of the definitions that a program begins with."""
        self._look_alive()
        head = re.match(r"(?:#define \w+ \S+\n)*", text)
        assert head is not None
        return SimulatedProgram(dict(re.findall(r"#define (\w+) (\S+)\n", head[0])))

    def run(self, operations: Sequence[Operation]) -> float:
        self.runs.append(list(operations))
        return sum(self._run(each) for each in operations)

    def read_words(self, buffer: Buffer, count: int, word_bytes: int) -> list[int]:
        self._look_alive()
        words: list[int] = buffer.array[: count * word_bytes].view(f"u{word_bytes}").tolist()
        return words

    def write_zeros(self, buffer: Buffer) -> None:
        self._look_alive()
        buffer.array[:] = 0

    def clocks(self) -> Clocks:
        now = self.conditions(self.clock.seconds)
        return Clocks(now.memory_clock_hz, now.compute_clock_hz)

    def usage(self, window_seconds: float) -> Usage:
        """A look at a processor takes the whole window; NVML answers at once."""
        if self.info.kind == "cpu":
            self.clock.sleep(window_seconds)
        now = self.conditions(self.clock.seconds)
        return Usage(
            now.others_busy_ratio,
            now.kernels_busy_ratio,
            now.other_processes,
            now.memory_busy_ratio,
            list(now.processes),
        )

    def watch(self) -> SimulatedWatch:
        return SimulatedWatch(self)

    def close(self) -> None:
        self._look_alive()

    def _look_alive(self) -> None:
        if self.lost_at_seconds is not None and self.clock.seconds >= self.lost_at_seconds:
            raise DeviceLost(f"{self.info.name} was lost, as the test has it")

    def _run(self, operation: Operation) -> float:
        """Two rows of work end with the slower one: they do not share the pace."""
        if isinstance(operation, Together):
            begin, ends = self.clock.seconds, []
            for row in (operation.first, operation.second):
                self.clock.seconds = begin
                ends.append(begin + sum(map(self._run, row)))
            self.clock.seconds = max(ends)
            return self.clock.seconds - begin
        self._look_alive()
        nbytes = self._launch(operation) if isinstance(operation, Launch) else self._copy(operation)
        pace = self.pace(Work(operation, nbytes, self.clock.seconds))
        seconds = self.launch_seconds + nbytes / pace
        assert seconds > 0, "an operation that takes no time would be waited for without end"
        self.clock.seconds += seconds
        return seconds

    def _launch(self, launch: Launch) -> int:
        grid = Grid(launch.kernel.definitions, launch.groups)
        assert launch.group_size == grid.defined("GROUP_SIZE")
        arguments = [each.array if isinstance(each, Buffer) else each for each in launch.arguments]
        return KERNELS[launch.kernel.name](grid, *arguments)

    def _copy(self, copy: Copy) -> int:
        copy.destination.array[: copy.nbytes] = copy.source.array[: copy.nbytes]
        return copy.nbytes


class SimulatedWatch:
    """Looks every ``LOOK_SECONDS`` of the device's clock, and once more at the end."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._begin = device.clock.seconds

    def stop(self) -> Telemetry:
        device = self._device
        if device.unwatched is not None:
            return Telemetry(absent=device.unwatched)
        passed = device.clock.seconds - self._begin
        times = [*np.arange(LOOK_SECONDS, passed, LOOK_SECONDS).tolist(), passed]
        looks = [device.conditions(self._begin + each) for each in times]
        lasted = np.diff([0.0, *times]).tolist()
        watts = [each.watts for each in looks if each.watts is not None]
        joules = sum(each * seconds for each, seconds in zip(watts, lasted, strict=False))
        return Telemetry(
            samples=[
                TelemetrySample(at, c.memory_clock_hz, c.compute_clock_hz, c.watts, c.celsius, list(c.limits))
                for at, c in zip(times, looks, strict=True)
            ],
            energy_joules=joules if len(watts) == len(looks) else None,
            other_processes=looks[-1].other_processes,
            others_busy_ratio=looks[-1].others_busy_ratio,
            others_device_busy_ratio=looks[-1].others_device_busy_ratio,
            processes=list(looks[-1].processes),
            throttled_seconds=looks[-1].throttled_seconds,
        )
