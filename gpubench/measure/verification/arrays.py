"""Fill, poison and verify arrays of integers on the device, and sum up what groups summed."""

from __future__ import annotations

from collections.abc import Iterable

from gpubench.devices.base import Allocation, Buffer, Device, Launch, Program
from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.measure.memory import whole_pages
from gpubench.measure.run_context import RunContext
from gpubench.measure.shapes import helper_grid
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Mismatch

Arguments = tuple[Buffer | int, ...]

_GOLDEN = 0x9E3779B9


def salt_of(seed: int, array: int = 0) -> int:
    """The salt of an array's hash values: another one for each array and seed."""
    return (seed * 8 + array + 1) * _GOLDEN % 2**32


class ArrayVerifier:
    """Whole arrays of words as wide as ``dtype``; the kernels are those of walk.cl's macros."""

    def __init__(self, context: RunContext, dtype: str) -> None:
        self._context = context
        self._word_bytes = ELEMENT_BYTES[dtype]
        grid = helper_grid(context.device.info)
        self.group_size, self._groups = grid.group_size, grid.groups
        self._helpers = context.programs.verify(dtype, self.group_size)
        self.reports = MismatchReports(context.device)
        self._totals = GroupSums(context.device, 1, self._groups)

    def release(self) -> None:
        self.reports.release()
        self._totals.release()

    def fill(self, words: Buffer, count: int, first: int, salt: int) -> None:
        """With the words of the hash from index ``first`` on."""
        self._context.run([self._helper("fill_words", words, count, first, salt)])

    def poison(self, words: Buffer, count: int) -> None:
        """All bits set."""
        self._context.run([self._helper("poison", words, count)])

    def verify_elements(self, program: Program, name: str, arrays: Iterable[Arguments]) -> VerificationResult:
        """Run ``check_<name>`` on each array, and ``report_<name>`` if anything is wrong.

        ``program`` has groups of ``group_size``. An array is the words, their number, and the four
        numbers from which the right ones are made.
        """
        arrays = list(arrays)
        self.reports.clear()
        check, report = program.kernel(f"check_{name}"), program.kernel(f"report_{name}")
        found, rows = self.reports.found, self.reports.rows
        self._context.run([self.launch(check, *array, found) for array in arrays])
        result = self.reports.result("elements")
        if result.mismatches:
            # Reporting counts as well, in one word.
            self.reports.clear()
            self._context.run([self.launch(report, *array, found, rows) for array in arrays])
            result = VerificationResult(result.mismatches, self.reports.result("elements").first)
        return result

    def expected_sum(self, program: Program, name: str, parts: Iterable[Arguments]) -> int:
        """The sum over all parts by ``total_<name>``; a part is a number of elements and four more."""
        kernel, total = program.kernel(f"total_{name}"), 0
        [buffer] = self._totals.buffers
        for part in parts:
            self._context.run([self.launch(kernel, buffer, *part)])
            total += self._totals.total(self._word_bytes)
        return total % self._modulus

    def verify_sums(self, expected: int, sums: GroupSums) -> VerificationResult:
        """Whether the groups' sums add up to ``expected``."""
        actual = sums.total(self._word_bytes) % self._modulus
        if actual == expected:
            return VerificationResult(0, [], "sums")
        return VerificationResult(1, [Mismatch(0, f"{expected:#x}", f"{actual:#x}")], "sums")

    def launch(self, kernel: object, *arguments: Buffer | int) -> Launch:
        """Of a kernel that goes through any number of elements with any number of groups."""
        return Launch(kernel, self._groups, self.group_size, arguments)

    @property
    def _modulus(self) -> int:
        return 1 << (8 * self._word_bytes)

    def _helper(self, name: str, *arguments: Buffer | int) -> Launch:
        return self.launch(self._helpers.kernel(name), *arguments)


class GroupSums:
    """A buffer for each of ``launches``, with a word for each of its ``groups``."""

    def __init__(self, device: Device, launches: int, groups: int) -> None:
        self._device = device
        self._groups = groups
        nbytes = whole_pages(groups * 8)
        self._memory: Allocation = device.allocate(launches * nbytes)
        self._whole = self._memory.view(0, launches * nbytes)
        self.buffers: list[Buffer] = [self._memory.view(k * nbytes, nbytes) for k in range(launches)]
        self.clear()

    def clear(self) -> None:
        self._device.write_zeros(self._whole)

    def total(self, word_bytes: int) -> int:
        """Of all words; those that no group wrote are 0."""
        return sum(sum(self._device.read_words(each, self._groups, word_bytes)) for each in self.buffers)

    def word(self, launch: int, word_bytes: int) -> int:
        """What the first group of a launch wrote."""
        return self._device.read_words(self.buffers[launch], 1, word_bytes)[0]

    def release(self) -> None:
        self._memory.release()
