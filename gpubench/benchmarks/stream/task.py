"""The stream family on a device: fill the arrays, launch a pass, verify its output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from gpubench.benchmarks.registry import StreamBenchmark
from gpubench.devices.base import Allocation, Buffer, Copy, Device, Kernel, Launch, Program
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Segment, whole_pages
from gpubench.measure.run_context import Skipped
from gpubench.measure.series import Point
from gpubench.measure.shapes import Access, Geometry, geometry, helper_grid
from gpubench.measure.tuning import point_of
from gpubench.measure.verification.arrays import salt_of
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape

_SUM_BYTES = 8


class Scratch:
    """Memory for mismatch reports and the sums of groups, for tasks of which one at a time is verified."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.reports = MismatchReports(device)
        self._sums: list[Allocation] = []
        self._buffers: dict[tuple[int, ...], list[Buffer]] = {}

    def sum_buffers(self, sizes_bytes: tuple[int, ...]) -> list[Buffer]:
        """A buffer of each size. They stay until the release, since launches made earlier hold them."""
        if sizes_bytes not in self._buffers:
            sums = self._device.allocate(sum(sizes_bytes))
            self._sums.append(sums)
            starts = accumulate(sizes_bytes, initial=0)
            self._buffers[sizes_bytes] = [
                sums.view(start, size) for start, size in zip(starts, sizes_bytes, strict=False)
            ]
        return self._buffers[sizes_bytes]

    def release(self) -> None:
        self.reports.release()
        for each in self._sums:
            each.release()


class StreamTask:
    """One stream benchmark over ``segments`` of memory; ``scratch`` is its own if none is given.

    Raises ``Skipped`` if it needs 64-bit floating point and the device has none.
    """

    def __init__(
        self,
        programs: Programs,
        row: StreamBenchmark,
        dtype: str,
        segments: Sequence[Segment],
        seed: int,
        scratch: Scratch | None = None,
    ) -> None:
        self._programs = programs
        self._device = programs.device
        self._row = row
        self._dtype = dtype
        self._refuse_missing_double()
        self.segments = segments
        self._salts = [salt_of(seed, array) for array in range(row.arrays)] + [0]
        self._helper_grid = helper_grid(self._device.info)
        self._helpers = programs.verify(dtype, self._helper_grid.group_size)
        self._scratch = scratch or Scratch(self._device)

    def _refuse_missing_double(self) -> None:
        """Integers need none; sums of products are kept in it, whatever the elements are."""
        if self._device.info.has_double or self._row.integers:
            return
        if self._row.sums_kernel:
            raise Skipped("this device has no 64-bit floating point (fp64), in which dot adds up")
        if self._dtype == "double":
            raise Skipped("this device has no 64-bit floating point (fp64); dtype float is possible")

    @property
    def access(self) -> Access:
        """The class whose shapes are tried."""
        return self._row.access

    @property
    def name(self) -> str:
        return self._row.name

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def footprint_bytes(self) -> int:
        """Of all its arrays."""
        return self._array_bytes * self._row.arrays

    @property
    def _element_bytes(self) -> int:
        return ELEMENT_BYTES[self._dtype]

    @property
    def _array_bytes(self) -> int:
        return sum(segment.elements for segment in self.segments) * self._element_bytes

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        """Payload and bus bytes of one pass; the stores of sums count on the bus."""
        stored = sum(g.groups for g in self._geometries(shape)) * _SUM_BYTES if self._row.sums_kernel else 0
        return self._row.payload_arrays * self._array_bytes, self.footprint_bytes + stored

    def fill(self) -> None:
        """Write the pseudo-random inputs; the output, if any, is left to ``poison``."""
        name = "fill_words" if self._row.integers else "fill_elements"
        launches = [
            self._helper(name, array, segment.elements, segment.first, self._salts[k])
            for segment in self.segments
            for k, array in enumerate(segment.arrays)
            if k != self._row.output_array
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
            for index, (segment, g) in enumerate(zip(self.segments, self._geometries(shape), strict=True))
        ]

    def engine_copies(self) -> list[Copy]:
        """The first array into the second without a kernel, as a pass of ``copy`` does it."""
        return [Copy(s.arrays[1], s.arrays[0], s.elements * self._element_bytes) for s in self.segments]

    def point(self, shape: Shape) -> Point:
        """A whole pass, verified whole."""
        return point_of(self, shape, lambda: self.poison(shape), lambda: self.verify(shape))

    def poison(self, shape: Shape) -> None:
        """Make the output wrong everywhere: what is right afterwards was written since."""
        output = self._row.output_array
        if output is not None:
            self._device.run([self._helper("poison", s.arrays[output], s.elements) for s in self.segments])
        else:
            for buffer in self._sum_buffers(shape):
                self._device.write_zeros(buffer)

    def run_and_verify(self, shape: Shape) -> VerificationResult:
        """Poison the output, run one pass, and verify all of it."""
        self.poison(shape)
        self._device.run(self.launches(shape))
        return self.verify(shape)

    def verify(self, shape: Shape) -> VerificationResult:
        """Verify what the last pass in this shape left behind, every element or every sum."""
        reports = self._scratch.reports
        what = "group sums" if self._row.sums_kernel else "elements"
        reports.clear()
        self._device.run(self._verifying_launches(shape, reports))
        result = reports.result(what)
        if result.mismatches and self._row.output_array is not None:
            # Reporting counts as well, in one word.
            reports.clear()
            self._device.run(self._element_launches("report_elements", reports.found, reports.rows))
            result = VerificationResult(result.mismatches, reports.result(what).first, what)
        return result

    def sum_of_groups(self, shape: Shape) -> int:
        """The sums of all groups in the last pass in this shape added up, modulo a word."""
        sums = zip(self._sum_buffers(shape), self._geometries(shape), strict=True)
        total = sum(sum(self._device.read_words(each, g.groups, self._element_bytes)) for each, g in sums)
        return total % (1 << 8 * self._element_bytes)

    def release(self) -> None:
        """Its scratch; not to be called if it was given one."""
        self._scratch.release()

    def _geometries(self, shape: Shape) -> list[Geometry]:
        return [geometry(shape, s.elements, self._element_bytes) for s in self.segments]

    def _arguments(self, shape: Shape, index: int, segment: Segment, g: Geometry) -> tuple[object, ...]:
        if self._row.sums_kernel:
            return (*segment.arrays, self._sum_buffers(shape)[index], g.vectors, g.rounds)
        if self.access == "write":
            return (*segment.arrays, g.vectors, g.rounds, segment.first, self._salts[0])
        return (*segment.arrays, g.vectors, g.rounds)

    def _sum_buffers(self, shape: Shape) -> list[Buffer]:
        """One for each segment, with a word for each of its groups in this shape."""
        sizes = (whole_pages(g.groups * _SUM_BYTES) for g in self._geometries(shape))
        return self._scratch.sum_buffers(tuple(sizes))

    def _verifying_launches(self, shape: Shape, reports: MismatchReports) -> list[Launch]:
        if self._row.sums_kernel is None:
            return self._element_launches("check_elements", reports.found)
        kernel = self._helpers.kernel(self._row.sums_kernel)
        tile = int(shape.order != "grid")
        parts = zip(self.segments, self._geometries(shape), self._sum_buffers(shape), strict=True)
        return [
            self._launch(
                kernel, g.groups, sums, s.elements, s.first, g.rounds, g.chunk_elements, tile,
                *self._salts[:2], reports.found, reports.rows,
            )
            for s, g, sums in parts
        ]  # fmt: skip

    def _element_launches(self, name: str, *reports: Buffer) -> list[Launch]:
        row = self._row
        return [
            self._helper(
                name, s.arrays[row.output_array or 0], s.elements, s.first, row.operation,
                *self._salts[:2], row.tolerance_ulps, *reports,
            )
            for s in self.segments
        ]  # fmt: skip

    def _helper(self, name: str, *arguments: object) -> Launch:
        return self._launch(self._helpers.kernel(name), self._helper_grid.groups, *arguments)

    def _launch(self, kernel: Kernel, groups: int, *arguments: object) -> Launch:
        return Launch(kernel, groups, self._helper_grid.group_size, arguments)
