"""The interface between benchmarks and devices: a device, its memory, its programs, its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gpubench.results.machine import Clocks, DeviceInfo, DriverStatus, Telemetry, Usage

Buffer = Any
"""A part of an allocation as a kernel's argument, of the type that the runtime accepts."""

Kernel = Any
"""A kernel of a compiled program, as an object of its runtime."""


class Allocation(Protocol):
    """Memory of the device, until it is released."""

    @property
    def nbytes(self) -> int: ...

    @property
    def address(self) -> int | None:
        """Where it begins in this process's memory; null if it is not the host's."""
        ...

    def view(self, offset_bytes: int, nbytes: int) -> Buffer:
        """A part of it. Offsets are multiples of 4096, which every runtime supports."""
        ...

    def release(self) -> None: ...


class HostMemory(Protocol):
    """Memory of the host, until it is released.

    ``array`` is a numpy array of bytes over all of it, not to be touched after ``release``. ``pinned``
    memory is page-locked, so that the device accesses it directly; a transfer of pageable memory goes
    through the driver's buffers and keeps the calling thread busy.
    """

    @property
    def array(self) -> Any: ...

    @property
    def pinned(self) -> bool: ...

    def release(self) -> None: ...


class Program(Protocol):
    def kernel(self, name: str) -> Kernel: ...


@dataclass(frozen=True)
class Launch:
    """A kernel over ``groups`` of ``group_size`` items.

    An argument is a ``Buffer`` of the same device, or an int, which kernels take as an unsigned
    64-bit number.
    """

    kernel: Kernel
    groups: int
    group_size: int
    arguments: tuple[Buffer | int, ...]


CopyEnd = Any
"""An end of a copy: a ``Buffer``, or ``HostMemory`` of the same device; one end at least is a buffer."""


@dataclass(frozen=True)
class Copy:
    """The first ``nbytes`` of the source to the destination, without a kernel."""

    destination: CopyEnd
    source: CopyEnd
    nbytes: int


@dataclass(frozen=True)
class Together:
    """Two sequences of work that begin at the same time, each in its order; it ends when both have ended.

    Host memory must be pinned here: other transfers keep the only thread busy.
    """

    first: tuple[Launch | Copy, ...]
    second: tuple[Launch | Copy, ...]


Operation = Launch | Copy | Together
"""What a device can run and time."""

MAX_HELD_ENTRIES = 256
"""The most entries that are enqueued before the first of them begins: a driver's queue holds some 1000, and
if it is full, a launch waits for the device."""


def entries(operation: Operation) -> int:
    """Entries in a driver's queues: for two sequences, also the two events and the two waits for them."""
    if isinstance(operation, Together):
        return len(operation.first) + len(operation.second) + 4
    return 1


class Watch(Protocol):
    """Watches a device from construction until ``stop``."""

    def stop(self) -> Telemetry: ...


class Device(Protocol):
    """One device, opened. It is used from one thread.

    Every method may raise ``DeviceLost``, after which the process that owns the device must end.
    """

    @property
    def info(self) -> DeviceInfo: ...

    @property
    def compiler(self) -> str:
        """The compiler of the kernels, with its version."""
        ...

    def free_bytes(self) -> int:
        """Memory that can be allocated now, in total."""
        ...

    def allocate(self, nbytes: int) -> Allocation:
        """Raises ``OutOfDeviceMemory``."""
        ...

    def host_memory(self, nbytes: int, *, pinned: bool) -> HostMemory:
        """Raises ``BenchmarkFailed`` if the host cannot allocate it."""
        ...

    def peers(self) -> list[DeviceInfo]:
        """The other devices of its runtime; ``unavailable`` is the reason if no copy to it is possible."""
        ...

    def peer_memory(self, peer_id: str, nbytes: int) -> Allocation:
        """Memory of a peer, for copies and for this device's kernels.

        Raises ``OutOfDeviceMemory``, and ``BenchmarkFailed`` if the peer cannot be reached.
        """
        ...

    def compile(self, text: str) -> Program:
        """A program from the text of ``program_text``; raises ``BenchmarkFailed``."""
        ...

    def run(self, operations: Sequence[Operation]) -> float:
        """Run them back to back and wait.

        Returns seconds on the device's clock, from the start of the first to the end of the last.
        """
        ...

    @property
    def late_starts(self) -> int:
        """How many runs so far began before all of them was queued: their seconds contain the host's."""
        ...

    def read_words(self, buffer: Buffer, count: int, word_bytes: int) -> list[int]:
        """The first ``count`` unsigned integers of a buffer."""
        ...

    def write_zeros(self, buffer: Buffer) -> None: ...

    def clocks(self) -> Clocks:
        """The live clocks, null if they are not known."""
        ...

    def usage(self, window_seconds: float) -> Usage:
        """How much other programs use it, observed for at most ``window_seconds``."""
        ...

    def watch(self) -> Watch: ...

    def close(self) -> None: ...


class Runtime(Protocol):
    """A way to reach devices."""

    def devices(self) -> list[DeviceInfo]: ...

    def drivers(self) -> list[DriverStatus]:
        """Those that were found installed; empty for a runtime with a single driver."""
        ...

    def open(self, device_id: str) -> Device:
        """Raises ``NoSuchDevice``."""
        ...
