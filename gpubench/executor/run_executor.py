"""One run on one device: each benchmark in turn, told as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gpubench import __version__
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.devices import host
from gpubench.devices.base import Device
from gpubench.errors import BenchmarkFailed, Cancelled, InvalidParameters, OutOfDeviceMemory
from gpubench.executor.messages import Finished, Run, Started
from gpubench.kernels.source import ReadSource, read_source, source_hash
from gpubench.measure.idle import wait_for_idle, wait_limit_seconds
from gpubench.measure.points import without_figure
from gpubench.measure.progress import ProgressReporter
from gpubench.measure.run_context import Control, RunContext, Skipped
from gpubench.requests import PlannedBenchmark, StatedMemory
from gpubench.results.document import Finding, Measurement
from gpubench.results.machine import Environment, IdleGate
from gpubench.results.progress import Progress
from gpubench.units import format_bytes

MAX_MEMORY_SHARE = 0.9
"""Of what is free: a device filled to the last byte fails in other programs' hands."""


class Reporter(Control, Protocol):
    """Who is told of a run as it goes."""

    def started(self, event: Started) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def measured(self, measurement: Measurement) -> None: ...
    def found(self, finding: Finding) -> None: ...


class RunExecutor:
    """Conducts one run; ``read`` gives the text of device code."""

    def __init__(
        self,
        device: Device,
        reporter: Reporter,
        memory: StatedMemory | None = None,
        read: ReadSource = read_source,
    ) -> None:
        self._device = device
        self._report = reporter
        self._context = RunContext(device, reporter, memory, read)

    def run(self, run: Run) -> Finished:
        """Measure all; raises ``OutOfDeviceMemory`` before anything is measured, and ``DeviceLost``."""
        explanations = {each.name: BENCHMARKS[each.name].explanation for each in run.benchmarks}
        self._report.started(
            Started(self._device.info, self._environment(), self._context.theory, explanations)
        )
        cancelled = False
        try:
            self._refuse_too_large(run.benchmarks)
            self._context.before = self._wait_for_idle(run.benchmarks)
            for index, planned in enumerate(run.benchmarks):
                self._report.raise_if_cancelled()
                self._context.begin(
                    ProgressReporter(self._report.progress, planned.name, index, len(run.benchmarks))
                )
                self._context.progress.phase("starting")
                self._measure(planned)
        except Cancelled:
            cancelled = True
        finally:
            self._context.arena.release()
        return Finished(self._device.clocks(), self._context.telemetry, cancelled)

    def _wait_for_idle(self, planned: Sequence[PlannedBenchmark]) -> IdleGate:
        profile = self._context.profile
        limits = (each.parameters["time_limit_seconds"] or profile.time_limit_seconds for each in planned)

        def report(message: str) -> None:
            self._report.progress(
                Progress(phase="starting", benchmark=planned[0].name, done_ratio=0.0, message=message)
            )

        limit = wait_limit_seconds(profile, limits)
        return wait_for_idle(self._device, limit, self._report.raise_if_cancelled, report)

    def _measure(self, planned: PlannedBenchmark) -> None:
        """One that cannot be done, or fails, does not end the others."""
        try:
            self._context.verify_data()
            for said in BENCHMARKS[planned.name].measure(self._context, planned):
                if isinstance(said, Finding):
                    self._report.found(said)
                else:
                    self._report.measured(said)
        except Skipped as skipped:
            self._report.measured(without_figure(planned, "skipped", str(skipped)))
        except OutOfDeviceMemory as error:
            # Others may have taken it meanwhile; the next one may ask for less.
            self._context.arena.release()
            self._report.measured(without_figure(planned, "skipped", error.message))
        except (BenchmarkFailed, InvalidParameters) as error:
            self._report.measured(without_figure(planned, "failed", error.message))

    def _environment(self) -> Environment:
        device = self._device
        return Environment(
            program_version=__version__,
            kernel_source_hash=source_hash(),
            driver=device.info.driver,
            runtime=device.info.runtime_version,
            compiler=device.compiler,
            clocks_before=device.clocks(),
            host=host.describe_host(),
        )

    def _refuse_too_large(self, planned: Sequence[PlannedBenchmark]) -> None:
        """Before anything is measured, so that nothing is lost."""
        free = self._context.free_bytes
        allowed = int(free * MAX_MEMORY_SHARE)
        for each in planned:
            footprint = each.parameters["footprint_bytes"]
            if footprint is not None and footprint > allowed:
                raise OutOfDeviceMemory(
                    f"{each.name}: a footprint of {format_bytes(footprint)} is more than the "
                    f"{format_bytes(allowed)} that a run may use of {format_bytes(free)} free",
                )
