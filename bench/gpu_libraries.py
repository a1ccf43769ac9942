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


class Driver:
    """Its copies and fills."""

    def __init__(self) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self._stream = cuda.Stream()
        self._begin, self._end = cuda.Event(), cuda.Event()

    def contenders(
        self, kernel: str, arrays: Sequence[Any], array_bytes: int, passes: int
    ) -> dict[str, Contender]:
        cuda, stream = self._cuda, self._stream
        if kernel == "copy":
            source, target = (each.pointer for each in arrays)
            return {
                "cuMemcpyDtoD": self._timed(
                    lambda: cuda.memcpy_dtod_async(target, source, array_bytes, stream), passes
                )
            }
        if kernel == "write":
            [written] = (each.pointer for each in arrays)
            return {
                "cuMemsetD32": self._timed(
                    lambda: cuda.memset_d32_async(written, _WORD, array_bytes // 4, stream), passes
                )
            }
        return {}

    def free(self) -> None:
        pass

    def _timed(self, work: Work, passes: int) -> Contender:
        def seconds() -> float:
            self._begin.record(self._stream)
            for _ in range(passes):
                work()
            self._end.record(self._stream)
            self._end.synchronize()
            return float(self._end.time_since(self._begin)) * 1e-3 / passes

        return seconds


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
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def seconds() -> float:
            begin.record()
            for _ in range(passes):
                works[kernel]()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) * 1e-3 / passes

        return {"torch": seconds}

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
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()

        def seconds() -> float:
            begin.record()
            for _ in range(passes):
                works[kernel]()
            end.record()
            end.synchronize()
            return float(cupy.cuda.get_elapsed_time(begin, end)) * 1e-3 / passes

        return {"cupy": seconds}

    def free(self) -> None:
        self._cupy.get_default_memory_pool().free_all_blocks()


LIBRARIES: dict[str, Callable[[], Library]] = {"the driver": Driver, "torch": Torch, "cupy": Cupy}
