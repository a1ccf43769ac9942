"""The memory that a run measures: allocated once, and cut into arrays as each benchmark needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gpubench.devices.base import Allocation, Buffer, Device
from gpubench.devices.pages import huge_page_ratio
from gpubench.errors import InvalidParameters, OutOfDeviceMemory
from gpubench.units import format_bytes

PAGE_BYTES = 4096


def whole_pages(nbytes: int) -> int:
    """``nbytes`` rounded up to whole pages."""
    return -(-nbytes // PAGE_BYTES) * PAGE_BYTES


_MIN_PIECE_BYTES = 64 << 20
"""If an allocation fails, smaller ones are tried down to this; the rest is not worth the search."""

_TAKEN_TOLERANCE_RATIO = 0.05
"""Allocations whose size differs by this or less are kept: gigabytes of a processor's memory take seconds."""


@dataclass(frozen=True)
class Segment:
    """A part of every array of a benchmark, in one allocation.

    No allocation may exceed the runtime's limit, so large arrays come in several segments; a pass
    walks through them one after the other. ``first`` is the index of the first element in the whole.
    ``allocation`` is held so that the memory lives as long as its views.
    """

    arrays: tuple[Buffer, ...]
    elements: int
    first: int
    allocation: Allocation


def parts(nbytes: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """Offset and size of each part; the last may be smaller."""
    for offset in range(0, nbytes, part_bytes):
        yield offset, min(part_bytes, nbytes - offset)


class Releasable(Protocol):
    """What holds memory of the device or the host until it is released."""

    def release(self) -> None: ...


_Held = TypeVar("_Held", bound=Releasable)


@contextmanager
def releasing(held: _Held) -> Iterator[_Held]:
    """Release ``held`` at the end of a block."""
    try:
        yield held
    finally:
        held.release()


class Arena:
    """Memory of one device, kept between the benchmarks of a run.

    ``touch`` is called to write all of a new allocation: some runtimes allocate more than there is, and
    fail when it is first used.
    """

    def __init__(self, device: Device, touch: Callable[[Allocation], None] = lambda allocation: None) -> None:
        self._device = device
        self._touch = touch
        self._allocations: list[Allocation] = []

    @property
    def nbytes(self) -> int:
        """Of all its allocations."""
        return sum(each.nbytes for each in self._allocations)

    @property
    def huge_page_ratio(self) -> float | None:
        """The share of it on huge pages, 0 to 1; null if it is not the host's memory, or not reported."""
        addresses = [(each.address, each.nbytes) for each in self._allocations]
        return huge_page_ratio((at, at + size - 1) for at, size in addresses if at is not None)

    def cut(self, footprint_bytes: int, arrays: int, element_bytes: int, chunk_bytes: int) -> list[Segment]:
        """``arrays`` arrays of ``footprint_bytes`` in all, rounded up to whole chunks and pages.

        Raises ``InvalidParameters`` if a chunk is larger than the footprint, and ``OutOfDeviceMemory``.
        """
        step = max(chunk_bytes, PAGE_BYTES)
        if step * arrays > 2 * footprint_bytes:
            raise InvalidParameters(
                f"a footprint of {format_bytes(footprint_bytes)} is too small for {arrays} arrays in "
                f"this access shape: ask for {format_bytes(step * arrays)} or more"
            )
        limit = self._device.info.max_allocation_bytes
        room = max((limit or 0) - step * arrays, step * arrays)
        count = 1 if limit is None else -(-footprint_bytes // room)
        array_bytes = -(-footprint_bytes // (count * arrays * step)) * step
        self._reserve(count, array_bytes * arrays)
        elements = array_bytes // element_bytes
        return [
            Segment(
                arrays=tuple(allocation.view(k * array_bytes, array_bytes) for k in range(arrays)),
                elements=elements,
                first=index * elements,
                allocation=allocation,
            )
            for index, allocation in enumerate(self._allocations)
        ]

    def take(self, nbytes: int, step_bytes: int) -> list[Allocation]:
        """As much of ``nbytes`` as can be allocated, in pieces of a step or more.

        Raises ``OutOfDeviceMemory`` if there is not one step.
        """
        usable = sum(each.nbytes // step_bytes * step_bytes for each in self._allocations)
        if abs(usable - nbytes) <= _TAKEN_TOLERANCE_RATIO * nbytes:
            return list(self._allocations)
        self.release()
        piece = min(nbytes, self._device.info.max_allocation_bytes or nbytes)
        left = nbytes
        while size := min(piece, left) // step_bytes * step_bytes:
            try:
                self._add(size)
                left -= size
            except OutOfDeviceMemory:
                piece = size // 2 if size // 2 >= _MIN_PIECE_BYTES else 0
        if not self._allocations:
            raise OutOfDeviceMemory(f"the device cannot allocate {format_bytes(step_bytes)} in one piece")
        return list(self._allocations)

    def _add(self, nbytes: int) -> None:
        allocation = self._device.allocate(nbytes)
        try:
            self._touch(allocation)
        except BaseException:
            allocation.release()
            raise
        self._allocations.append(allocation)

    def release(self) -> None:
        for allocation in self._allocations:
            allocation.release()
        self._allocations = []

    def _reserve(self, count: int, nbytes: int) -> None:
        """Make ``count`` allocations of at least ``nbytes``, or keep the present ones if they suffice."""
        have = [allocation.nbytes for allocation in self._allocations]
        if len(have) == count and all(nbytes <= size <= 2 * nbytes for size in have):
            return
        self.release()
        free = self._device.free_bytes()
        if count * nbytes > free:
            raise OutOfDeviceMemory(
                f"a footprint of {format_bytes(count * nbytes)} is more than the "
                f"{format_bytes(free)} that are free"
            )
        for _ in range(count):
            self._add(nbytes)
