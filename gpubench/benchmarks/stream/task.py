"""The stream family on a device: fill the arrays, launch a pass, check what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from gpubench.benchmarks.registry import StreamBenchmark
from gpubench.devices.base import Allocation, Buffer, Copy, Device, Kernel, Launch, Program
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Segment, whole_pages
from gpubench.measure.run_context import Skipped
from gpubench.measure.shapes import Access, Geometry, geometry, helper_grid
from gpubench.measure.verification.arrays import salt_of
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape

_SUM_BYTES = 8


@dataclass(frozen=True)
class _Check:
    """How a benchmark's result is checked.

    Either the elements of array ``output`` by ``operation`` (a number of verify.cl), or the sums of
    groups by the kernel ``sums``.
    """

    output: int | None = None
    operation: int = 0
    tolerance: int = 0
    sums: str | None = None
    words: bool = False


_CHECKS = {
    "copy": _Check(output=1, operation=0),
    "scale": _Check(output=1, operation=1),
    "add": _Check(output=2, operation=2),
    "triad": _Check(output=2, operation=3, tolerance=1),
    "write": _Check(output=0, operation=4, words=True),
    "read": _Check(sums="check_word_sums", words=True),
    "dot": _Check(sums="check_product_sums"),
}


class Scratch:
    """Where checks report and groups sum: one for all tasks of which each is checked before another runs."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.reports = MismatchReports(device)
        self._sums: list[Allocation] = []
        self._views: dict[tuple[int, ...], list[Buffer]] = {}

    def places(self, sizes: tuple[int, ...]) -> list[Buffer]:
        """For sums, of so many bytes; they stay until the release, since launches made earlier hold them."""
        if sizes not in self._views:
            sums = self._device.allocate(sum(sizes))
            self._sums.append(sums)
            starts = accumulate(sizes, initial=0)
            self._views[sizes] = [sums.view(start, size) for start, size in zip(starts, sizes, strict=False)]
        return self._views[sizes]

    def release(self) -> None:
        self.reports.release()
        for each in self._sums:
            each.release()


class StreamTask:
    """One stream benchmark over one cut of memory; ``scratch``, if given, is shared and stays.

    Raises ``Skipped`` where it needs 64-bit floating point and the device has none.
    """

    def __init__(
        self,
        device: Device,
        programs: Programs,
        benchmark: StreamBenchmark,
        dtype: str,
        segments: Sequence[Segment],
        seed: int,
        scratch: Scratch | None = None,
    ) -> None:
        self._device = device
        self._programs = programs
        self._benchmark = benchmark
        self._check = _CHECKS[benchmark.name]
        self._dtype = dtype
        self._refuse_missing_double()
        self._segments = segments
        self._salts = [salt_of(seed, array) for array in range(benchmark.arrays)] + [0]
        self._helper_grid = helper_grid(device.info)
        self._helpers = programs.verify(dtype, self._helper_grid.group_size)
        self._scratch = scratch or Scratch(device)
        self._owns_scratch = scratch is None

    def _refuse_missing_double(self) -> None:
        """Words need none; sums of products are kept in it, whatever the elements are."""
        if self._device.info.has_double or self._check.words:
            return
        if self.name == "dot":
            raise Skipped("this device has no 64-bit floating point (fp64), in which dot adds up")
        if self._dtype == "double":
            raise Skipped("this device has no 64-bit floating point (fp64); dtype float is possible")

    @property
    def access(self) -> Access:
        """The class whose shapes are tried."""
        return self._benchmark.access

    @property
    def name(self) -> str:
        return self._benchmark.name

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def footprint_bytes(self) -> int:
        """Of all its arrays."""
        return self._array_bytes * self._benchmark.arrays

    @property
    def _array_bytes(self) -> int:
        return sum(segment.elements for segment in self._segments) * ELEMENT_BYTES[self._dtype]

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        """Payload and bus bytes of one pass; the stores of sums count on the bus."""
        stored = sum(g.groups for g in self._geometries(shape)) * _SUM_BYTES if self._check.sums else 0
        row = self._benchmark
        return row.payload_arrays * self._array_bytes, row.bus_arrays * self._array_bytes + stored

    def fill(self) -> None:
        """Write the pseudo-random inputs; the output, if any, is left to ``poison``."""
        name = "fill_words" if self._check.words else "fill_elements"
        launches = [
            self._helper(name, array, segment.elements, segment.first, self._salts[k])
            for segment in self._segments
            for k, array in enumerate(segment.arrays)
            if k != self._check.output
        ]
        if launches:
            self._device.run(launches)

    def program(self, shape: Shape) -> Program:
        return self._programs.stream(self.name, self._dtype, shape)

    def launches(self, shape: Shape) -> list[Launch]:
        """One pass: every array once, in this shape."""
        kernel = self.program(shape).kernel(f"stream_{self.name}")
        return [
            Launch(kernel, g.groups, shape.group_size, self._arguments(shape, index, segment, g))
            for index, (segment, g) in enumerate(zip(self._segments, self._geometries(shape), strict=True))
        ]

    def engine_copies(self) -> list[Copy]:
        """The first array into the second without a kernel, as a pass of ``copy`` does it."""
        width = ELEMENT_BYTES[self._dtype]
        return [Copy(s.arrays[1], s.arrays[0], s.elements * width) for s in self._segments]

    def poison(self, shape: Shape) -> None:
        """Make the result wrong everywhere: what is right afterwards was written since."""
        if self._check.output is not None:
            self._device.run([self._poison(segment, self._check.output) for segment in self._segments])
        else:
            for view in self._views(shape):
                self._device.write_zeros(view)

    def run_and_verify(self, shape: Shape) -> VerificationResult:
        """Poison the result, run one pass, and check it whole."""
        self.poison(shape)
        self._device.run(self.launches(shape))
        return self.verify(shape)

    def verify(self, shape: Shape) -> VerificationResult:
        """Check what the last pass in this shape left behind, every element or every sum."""
        reports = self._scratch.reports
        what = "group sums" if self._check.sums else "elements"
        reports.clear()
        self._device.run(self._check_launches(shape, reports))
        result = reports.result(what)
        if result.mismatches and self._check.output is not None:
            # Reporting counts as well, in one word.
            reports.clear()
            self._device.run(self._element_launches("report_elements", reports.found, reports.rows))
            result = VerificationResult(result.mismatches, reports.result(what).first, what)
        return result

    def summed(self, shape: Shape) -> int:
        """What all groups of the last pass in this shape summed together, modulo a word."""
        width = ELEMENT_BYTES[self._dtype]
        places = zip(self._views(shape), self._geometries(shape), strict=True)
        return sum(sum(self._device.read_words(view, g.groups, width)) for view, g in places) % (
            1 << 8 * width
        )

    def release(self) -> None:
        if self._owns_scratch:
            self._scratch.release()

    def _geometries(self, shape: Shape) -> list[Geometry]:
        return [geometry(shape, s.elements, ELEMENT_BYTES[self._dtype]) for s in self._segments]

    def _arguments(self, shape: Shape, index: int, segment: Segment, g: Geometry) -> tuple[object, ...]:
        if self._check.sums:
            return (*segment.arrays, self._views(shape)[index], g.vectors, g.rounds)
        if self._benchmark.name == "write":
            return (*segment.arrays, g.vectors, g.rounds, segment.first, self._salts[0])
        return (*segment.arrays, g.vectors, g.rounds)

    def _views(self, shape: Shape) -> list[Buffer]:
        """A place for the sums of every segment's groups, in this shape."""
        sizes = (whole_pages(g.groups * _SUM_BYTES) for g in self._geometries(shape))
        return self._scratch.places(tuple(sizes))

    def _check_launches(self, shape: Shape, reports: MismatchReports) -> list[Launch]:
        if self._check.sums is None:
            return self._element_launches("check_elements", reports.found)
        kernel = self._helpers.kernel(self._check.sums)
        tile = int(shape.order != "grid")
        parts = zip(self._segments, self._geometries(shape), self._views(shape), strict=True)
        return [
            self._launch(
                kernel, g.groups, sums, s.elements, s.first, g.rounds, g.chunk_elements, tile,
                *self._salts[:2], reports.found, reports.rows,
            )
            for s, g, sums in parts
        ]  # fmt: skip

    def _element_launches(self, name: str, *places: Buffer) -> list[Launch]:
        check = self._check
        return [
            self._helper(
                name, s.arrays[check.output or 0], s.elements, s.first, check.operation,
                *self._salts[:2], check.tolerance, *places,
            )
            for s in self._segments
        ]  # fmt: skip

    def _poison(self, segment: Segment, array: int) -> Launch:
        return self._helper("poison", segment.arrays[array], segment.elements)

    def _helper(self, name: str, *arguments: object) -> Launch:
        return self._launch(self._helpers.kernel(name), self._helper_grid.groups, *arguments)

    def _launch(self, kernel: Kernel, groups: int, *arguments: object) -> Launch:
        return Launch(kernel, groups, self._helper_grid.group_size, arguments)
