"""What verifying kernels report: the number of mismatches, and the first few."""

from __future__ import annotations

from gpubench.devices.base import Buffer, Device
from gpubench.kernels.programs import MAX_REPORTS
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Mismatch


class MismatchReports:
    """Two pages of the device, for the counts in ``found`` and the first few mismatches in ``rows``.

    There are two counts, so that no overflow hides both. A row is an index, the expected and the actual
    value, each a word of 64 bits.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory = device.allocate(2 * PAGE_BYTES)
        self.found: Buffer = self._memory.view(0, PAGE_BYTES)
        self.rows: Buffer = self._memory.view(PAGE_BYTES, PAGE_BYTES)

    def clear(self) -> None:
        self._device.write_zeros(self.found)

    def result(self, what: str) -> VerificationResult:
        """Of the kernels since the last ``clear``; ``what`` they counted."""
        count = max(self._device.read_words(self.found, 2, 4))
        words = self._device.read_words(self.rows, 3 * MAX_REPORTS, 8) if count else []
        rows = sorted(list(zip(*[iter(words)] * 3, strict=True))[:count])
        return VerificationResult(
            count, [Mismatch(index, f"{want:#x}", f"{got:#x}") for index, want, got in rows], what
        )

    def release(self) -> None:
        self._memory.release()
