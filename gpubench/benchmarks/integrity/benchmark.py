"""Integrity: patterns over free memory; every wrong read is counted, and its kind of error determined."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from gpubench.benchmarks.integrity.errors import Errors, Rows, findings, kinds_of
from gpubench.benchmarks.integrity.memory import MAX_ROWS, WORD_BYTES, Found, MemoryUnderTest
from gpubench.benchmarks.integrity.patterns import PATTERNS, Pattern, Step
from gpubench.benchmarks.parameters import IntegrityParameters
from gpubench.measure.memory import PAGE_BYTES, releasing
from gpubench.measure.points import measurement_of
from gpubench.measure.run_context import RunContext, taken_memory, whole_memory_bytes
from gpubench.measure.series import Point, SampleSeries
from gpubench.measure.shapes import candidates, chunk_bytes
from gpubench.measure.stop_decision import StopDecision
from gpubench.measure.stopping import stopping_rule
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement

_PARTS = 20
"""At least, so that there are enough samples for two modes to show."""

_WAIT_SECONDS = 0.05


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A measurement for each pattern, then the errors of all; raises ``OutOfDeviceMemory``."""
    parameters = IntegrityParameters(**planned.parameters)
    errors = Errors()
    with memory_under_test(context, whole_memory_bytes(context, planned.parameters)) as memory:
        patterns = [PATTERNS[name] for name in parameters.patterns]
        samples = context.samples_each(len(patterns))
        context.progress.phase("warming_up")
        context.warm_up([memory.warming(patterns[0])])
        for number, pattern in enumerate(patterns):
            test = _Test(context, memory, pattern, parameters, samples)
            with context.watching():
                test.run(number / len(patterns), 1 / len(patterns))
            errors.update(test.errors)
            yield test.measurement(planned)
        tested_bytes = memory.words * WORD_BYTES
        yield from findings(planned.name, errors, tested_bytes, context.device.info.memory_bytes)


@contextmanager
def memory_under_test(context: RunContext, nbytes: int) -> Iterator[MemoryUnderTest]:
    """``nbytes`` of free memory, or as much as there is; raises ``OutOfDeviceMemory``."""
    shape = candidates(context.device.info, "copy", "double", context.profile.integrity_pins)[0]
    step = max(chunk_bytes(shape), PAGE_BYTES)
    parts = max(_PARTS, -(-nbytes // context.profile.integrity_part_bytes))
    part_bytes = max(nbytes // parts // step, 1) * step
    with (
        taken_memory(context, max(nbytes, part_bytes), part_bytes) as allocations,
        releasing(MemoryUnderTest(context, allocations, part_bytes, shape)) as memory,
    ):
        yield memory


class _Test:
    """One pattern on all memory."""

    def __init__(
        self,
        context: RunContext,
        memory: MemoryUnderTest,
        pattern: Pattern,
        parameters: IntegrityParameters,
        max_samples: int,
    ) -> None:
        self._context = context
        self._memory = memory
        self._parameters = parameters
        self.pattern = pattern
        self.errors = Errors()
        self._max_samples = max_samples
        self.samples_seconds: list[float] = []

    def run(self, done: float, share: float) -> None:
        """All steps, as often as asked: a ``share`` of the benchmark, of which ``done`` is done."""
        passes, steps = self._parameters.passes, self.pattern.steps
        # Of many passes only every ``kept``-th has its samples in the document.
        kept = math.ceil(passes / max(1, self._max_samples // self._memory.parts))
        for turn in range(passes):
            salt = self.pattern.salt(self._parameters.seed, turn)
            self._memory.prove(self.pattern, salt)
            seconds = np.zeros(self._memory.parts)

            def add(number: int, spent: float, seconds: npt.NDArray[np.float64] = seconds) -> None:
                seconds[number] += spent

            before: Found | None = None
            for number, step in enumerate(steps):
                part = (turn + number / len(steps)) / passes
                self._context.progress.phase("measuring", done + share * part)
                if step.pause:
                    self._rest()
                found = self._memory.run(self.pattern, step, salt, add)
                if found.rows:
                    self._classify(found, found.rows, step, salt, before)
                before = found
            if turn % kept == 0:
                self.samples_seconds += [float(each) for each in seconds[: self._max_samples]]

    def _classify(self, found: Found, rows: Rows, step: Step, salt: int, before: Found | None) -> None:
        owners = self.pattern.owners(rows.actual, salt, step.flipped)
        sound = _sound(rows, before) if step.pause and before else None
        self.errors.add(found.words, rows, kinds_of(rows, owners, self._memory.words, sound))

    def _rest(self) -> None:
        end = time.monotonic() + self._parameters.pause_seconds
        while (left := end - time.monotonic()) > 0:
            self._context.raise_if_cancelled()
            time.sleep(min(left, _WAIT_SECONDS))

    def measurement(self, planned: PlannedBenchmark) -> Measurement:
        """A sample is the time of all steps on one part."""
        memory, errors = self._memory, self.errors
        moved = sum(step.moves for step in self.pattern.steps) * memory.part_bytes
        point = Point(
            operations=(),
            payload_bytes=moved,
            bus_bytes=moved,
            footprint_bytes=memory.words * WORD_BYTES,
            poison=_nothing,  # each step verifies what the one before wrote
            verify=lambda: wrong,
            axes={"pattern": self.pattern.name},
            shape=memory.shape,
        )
        wrong = VerificationResult(errors.wrong_reads, errors.first, "reads of words")
        series = SampleSeries(
            point,
            stopping_rule(planned.parameters, 1.0),
            samples_seconds=self.samples_seconds,
            decision=StopDecision("passes_done", {"passes": self._parameters.passes}),
            failure=wrong if wrong.mismatches else None,
        )
        return measurement_of(self._context, planned, series)


def _sound(rows: Rows, before: Found) -> npt.NDArray[np.bool_]:
    """Which rows were right in the step before; none surely were if not all of its rows came back."""
    if before.rows is None:
        return np.ones(len(rows.index), bool)
    if before.words > MAX_ROWS:
        return np.zeros(len(rows.index), bool)
    return ~np.isin(rows.index, before.rows.index)


def _nothing() -> None:
    """The poison of a point that needs none."""
