"""Where kernels that check leave what they found: a count, and the first few mismatches."""

from __future__ import annotations

from gpubench.devices.base import Buffer, Device
from gpubench.kernels.programs import MAX_REPORTS
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Mismatch


class MismatchReports:
    """Two pages of the device: ``found`` counts twice (so that no wrap hides both), ``rows`` tell.

    A row is an index, the expected and the actual value, each a word of 64 bits.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory = device.allocate(2 * PAGE_BYTES)
        self.found: Buffer = self._memory.view(0, PAGE_BYTES)
        self.rows: Buffer = self._memory.view(PAGE_BYTES, PAGE_BYTES)

    def clear(self) -> None:
        self._device.write_zeros(self.found)

    def result(self, what: str) -> VerificationResult:
        """Of the checks since the last ``clear``; ``what`` was counted."""
        count = max(self._device.read_words(self.found, 2, 4))
        words = self._device.read_words(self.rows, 3 * MAX_REPORTS, 8) if count else []
        rows = sorted(list(zip(*[iter(words)] * 3, strict=True))[:count])
        return VerificationResult(
            count, [Mismatch(index, f"{want:#x}", f"{got:#x}") for index, want, got in rows], what
        )

    def release(self) -> None:
        self._memory.release()
