"""The compiled programs of one device, each compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpubench.devices.base import Device, Kernel, Program
from gpubench.errors import BenchmarkFailed, GpubenchError
from gpubench.kernels.source import ReadSource, program_text, read_source
from gpubench.results.document import Shape

ELEMENT_BYTES = {"float": 4, "double": 8}

MAX_REPORTS = 8
"""The most mismatches reported with index, expected and actual bits; all are counted."""


OnBuildFailed = Callable[[BenchmarkFailed], GpubenchError]
"""Makes the error to raise for a program that does not compile."""


class Programs:
    def __init__(
        self, device: Device, read: ReadSource = read_source, on_build_failed: OnBuildFailed | None = None
    ) -> None:
        self.device = device
        self._read = read
        self._on_build_failed = on_build_failed
        self._programs: dict[tuple[object, ...], Program] = {}

    def stream(self, name: str, dtype: str, shape: Shape) -> Program:
        """With the kernel ``stream_<name>`` alone."""
        return self.shaped("stream", dtype, shape, **{f"STREAM_{name.upper()}": 1})

    def shaped(self, family: str, dtype: str, shape: Shape, **definitions: int) -> Program:
        """The program of a family in an access shape."""
        return self.program(
            family,
            dtype,
            group_size=shape.group_size,
            VECTOR_ELEMENTS=shape.vector_bytes // ELEMENT_BYTES[dtype],
            UNROLL=shape.unroll,
            ORDER_TILE=int(shape.order == "tile"),
            ORDER_HALVES=int(shape.order == "halves"),
            STREAMING_STORES=int(shape.streaming_stores),
            **definitions,
        )

    def verify(self, dtype: str, group_size: int) -> Program:
        return self.program("verify", dtype, group_size=group_size)

    def program(self, family: str, dtype: str, *, group_size: int, **definitions: int) -> Program:
        """The program of ``kernels/<family>.cl``; ``definitions`` are its own constants.

        It, or ``Program.kernel``, raises ``BenchmarkFailed`` if it does not compile.
        """
        key = (family, dtype, group_size, *sorted(definitions.items()))
        if key not in self._programs:
            text = self._text(family, dtype, group_size, definitions)
            self._programs[key] = self._compile(text)
        return self._programs[key]

    def _compile(self, text: str) -> Program:
        if self._on_build_failed is None:
            return self.device.compile(text)
        try:
            return _Built(self.device.compile(text), self._on_build_failed)
        except BenchmarkFailed as error:
            raise self._on_build_failed(error) from None

    def _text(self, family: str, dtype: str, group_size: int, definitions: Mapping[str, int]) -> str:
        element_bytes = ELEMENT_BYTES[dtype]
        return program_text(
            family,
            self.device.info.runtime,
            {
                "ELEMENT": dtype,
                "WORD": "u32" if element_bytes == 4 else "u64",
                "ELEMENT_BYTES": element_bytes,
                "GROUP_SIZE": group_size,
                "VECTOR_ELEMENTS": 1,
                "STREAMING_STORES": 0,
                "REPORTS": MAX_REPORTS,
                **definitions,
            },
            self._read,
        )


@dataclass(frozen=True)
class _Built:
    """A program whose kernels may turn out to be missing only when they are asked for."""

    program: Program
    on_build_failed: OnBuildFailed

    def kernel(self, name: str) -> Kernel:
        try:
            return self.program.kernel(name)
        except BenchmarkFailed as error:
            raise self.on_build_failed(error) from None
