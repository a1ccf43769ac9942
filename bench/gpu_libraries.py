"""What else moves memory on a GPU: the driver itself, torch and cupy, with what each has for a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Work = Callable[[], object]
"""Queues one pass."""

Contender = Callable[[], float]
"""Runs some passes, and returns the seconds of one by the device's clock."""

Q = 3.0
"""As in STREAM, and in our kernels."""

_WORD = 0x01010101
"""Not zero, which some memories compress."""


class Library(Protocol):
    """Made where its modules can be imported."""

    def contenders(
        self, kernel: str, arrays: Sequence[Any], array_bytes: int, passes: int
    ) -> dict[str, Contender]:
        """By name; none if it has nothing for this kernel. ``arrays`` are ours, which the driver uses."""
        ...

    def free(self) -> None:
        """What its contenders used, once they are gone."""
        ...


def timed(
    work: Work, passes: int, events: tuple[Any, Any], milliseconds: Callable[[Any, Any], float], *stream: Any
) -> Contender:
    """A library's events are recorded on ``stream``, or on its usual one."""
    begin, end = events

    def seconds() -> float:
        begin.record(*stream)
        for _ in range(passes):
            work()
        end.record(*stream)
        end.synchronize()
        return float(milliseconds(begin, end)) * 1e-3 / passes

    return seconds


class Driver:
    """Its copies and fills."""

    def __init__(self) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self._stream = cuda.Stream()
        self._events = cuda.Event(), cuda.Event()

    def contenders(
        self, kernel: str, arrays: Sequence[Any], array_bytes: int, passes: int
    ) -> dict[str, Contender]:
        cuda, stream = self._cuda, self._stream
        first, *others = (each.pointer for each in arrays)
        works: dict[str, tuple[str, Work]] = {
            "copy": (
                "cuMemcpyDtoD",
                lambda: cuda.memcpy_dtod_async(others[0], first, array_bytes, stream),
            ),
            "write": ("cuMemsetD32", lambda: cuda.memset_d32_async(first, _WORD, array_bytes // 4, stream)),
        }
        if kernel not in works:
            return {}
        name, work = works[kernel]
        return {name: timed(work, passes, self._events, lambda begin, end: end.time_since(begin), stream)}

    def free(self) -> None:
        pass


class Torch:
    def __init__(self) -> None:
        import torch

        self._torch = torch

    def contenders(
        self, kernel: str, arrays: Sequence[Any], array_bytes: int, passes: int
    ) -> dict[str, Contender]:
        torch = self._torch
        a, *others = (
            torch.rand(array_bytes // 8, dtype=torch.float64, device="cuda") for _ in range(len(arrays))
        )
        total = torch.empty((), dtype=torch.float64, device="cuda")
        works: dict[str, Work] = {
            "copy": lambda: a.copy_(others[0]),
            "triad": lambda: torch.add(others[0], others[1], alpha=Q, out=a),
            "read": lambda: torch.sum(a, dim=0, out=total),
            "write": lambda: a.fill_(Q),
        }
        events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        return {"torch": timed(works[kernel], passes, events, lambda begin, end: begin.elapsed_time(end))}

    def free(self) -> None:
        self._torch.cuda.empty_cache()


class Cupy:
    def __init__(self) -> None:
        import cupy

        self._cupy = cupy

    def contenders(
        self, kernel: str, arrays: Sequence[Any], array_bytes: int, passes: int
    ) -> dict[str, Contender]:
        cupy = self._cupy
        a, *others = (cupy.random.rand(array_bytes // 8) for _ in range(len(arrays)))
        total = cupy.empty(())
        triad = cupy.ElementwiseKernel("float64 b, float64 c, float64 q", "float64 a", "a = b + q * c")
        works: dict[str, Work] = {
            "copy": lambda: cupy.copyto(a, others[0]),
            "triad": lambda: triad(others[0], others[1], Q, a),
            "read": lambda: a.sum(out=total),
            "write": lambda: a.fill(Q),
        }
        events = cupy.cuda.Event(), cupy.cuda.Event()
        return {"cupy": timed(works[kernel], passes, events, cupy.cuda.get_elapsed_time)}

    def free(self) -> None:
        self._cupy.get_default_memory_pool().free_all_blocks()


LIBRARIES: dict[str, Callable[[], Library]] = {"the driver": Driver, "torch": Torch, "cupy": Cupy}
