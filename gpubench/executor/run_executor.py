"""Executes one run on one device: its benchmarks in turn, each result reported as it is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gpubench import __version__
from gpubench.benchmarks.plan import for_device
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.devices import cache_folder, host
from gpubench.devices.base import Device
from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.errors import (
    BenchmarkFailed,
    BuildFailed,
    Cancelled,
    GpubenchError,
    InvalidParameters,
    OutOfDeviceMemory,
    Unsupported,
)
from gpubench.executor.messages import (
    Began,
    Event,
    Finished,
    Found,
    Measured,
    Progressed,
    Run,
    Started,
    Tuned,
)
from gpubench.kernels.source import ReadSource, read_source, source_hash
from gpubench.measure.idle import wait_for_idle, wait_limit_seconds
from gpubench.measure.no_figure import without_figure
from gpubench.measure.progress import ProgressReporter
from gpubench.measure.run_context import RunContext, Skipped
from gpubench.requests import PlannedBenchmark, StatedMemory
from gpubench.results.document import Finding, Tuning
from gpubench.results.machine import Environment, IdleGate
from gpubench.results.progress import Progress
from gpubench.units import format_bytes


class Reporter(Protocol):
    """Receives the events of a run, and may end it."""

    def send(self, event: Event) -> None: ...

    def raise_if_cancelled(self) -> None:
        """Raises ``Cancelled`` if the run is to end."""
        ...


class RunExecutor:
    """Executes one run; ``read`` returns the text of device code."""

    def __init__(
        self,
        device: Device,
        reporter: Reporter,
        memory: StatedMemory | None = None,
        read: ReadSource = read_source,
    ) -> None:
        self._device = device
        self._reporter = reporter
        self._retry_builds = False
        self._context = RunContext(
            device,
            memory,
            read,
            raise_if_cancelled=reporter.raise_if_cancelled,
            on_tuned=self._report_tuning,
            on_build_failed=self._build_failed,
        )

    def run(self, run: Run) -> Finished:
        """Execute its benchmarks; returns the last event, which the caller sends.

        Raises ``OutOfDeviceMemory`` before anything is measured, ``DeviceLost``, and ``BuildFailed`` if
        the run is to be tried again for it.
        """
        self._retry_builds = run.retry_builds
        benchmarks = [for_device(each, self._device.info) for each in run.benchmarks]
        # Every footprint, asked for or by default, is a part of this.
        own_ratio = run.max_memory_share_ratio / MAX_MEMORY_SHARE_RATIO
        self._context.free_bytes = int(self._context.free_bytes * own_ratio)
        explanations = {each.name: BENCHMARKS[each.name].explanation for each in benchmarks}
        self._reporter.send(
            Started(self._device.info, self._environment(), self._context.theory, explanations)
        )
        cancelled = False
        try:
            self._refuse_too_large(benchmarks, own_ratio)
            self._context.before = self._wait_for_idle(run)
            for index, planned in enumerate(benchmarks[run.first :], run.first):
                self._reporter.raise_if_cancelled()
                self._reporter.send(Began(index))
                self._context.begin(
                    ProgressReporter(self._report_progress, planned.name, index, len(benchmarks))
                )
                self._context.progress.phase("starting")
                self._measure(planned)
        except Cancelled:
            cancelled = True
        finally:
            self._context.arena.release()
        return Finished(self._device.clocks(), self._context.telemetry, cancelled)

    def _wait_for_idle(self, run: Run) -> IdleGate:
        profile, planned = self._context.profile, run.benchmarks[run.first :]
        done_ratio = run.first / len(run.benchmarks)
        limits = (each.parameters["time_limit_seconds"] or profile.time_limit_seconds for each in planned)

        def report(message: str) -> None:
            self._report_progress(
                Progress(phase="starting", benchmark=planned[0].name, done_ratio=done_ratio, message=message)
            )

        limit = wait_limit_seconds(profile, limits)
        return wait_for_idle(
            self._device, limit, self._reporter.raise_if_cancelled, report, self._context.raise_clocks
        )

    def _measure(self, planned: PlannedBenchmark) -> None:
        """A benchmark that fails, or cannot run on this device, does not end the others."""
        try:
            self._context.verify_data()
            self._context.verify_clock()
            for result in BENCHMARKS[planned.name].measure(self._context, planned):
                self._reporter.send(Found(result) if isinstance(result, Finding) else Measured(result))
        except Skipped as skipped:
            self._reporter.send(Measured(without_figure(planned, "skipped", str(skipped))))
        except Unsupported as unsupported:
            self._reporter.send(Measured(without_figure(planned, "skipped", unsupported.message)))
        except OutOfDeviceMemory as error:
            # Other programs may have allocated it meanwhile; the next benchmark may need less.
            self._context.arena.release()
            self._reporter.send(Measured(without_figure(planned, "skipped", error.message)))
        except (BenchmarkFailed, InvalidParameters) as error:
            self._reporter.send(Measured(without_figure(planned, "failed", error.message)))

    def _build_failed(self, error: BenchmarkFailed) -> GpubenchError:
        if self._retry_builds:
            return BuildFailed(error.message)
        folder = cache_folder.used_here()
        return BenchmarkFailed(f"{error.message} (cache of compiled kernels: {folder})") if folder else error

    def _report_progress(self, progress: Progress) -> None:
        self._reporter.send(Progressed(progress))

    def _report_tuning(self, tuning: Tuning) -> None:
        self._reporter.send(Tuned(tuning))

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

    def _refuse_too_large(self, planned: Sequence[PlannedBenchmark], own_ratio: float) -> None:
        """Checked before anything is measured, so that no work is lost."""
        free = self._context.free_bytes
        share = self._context.profile.max_memory_share_ratio
        allowed = int(free * share)
        for each in planned:
            footprint = each.parameters["footprint_bytes"]
            if footprint is not None and footprint > allowed:
                raise OutOfDeviceMemory(
                    f"{each.name}: a footprint of {format_bytes(footprint)} is too large; a run may use "
                    f"{format_bytes(allowed)}, {100 * share * own_ratio:.3g}% of "
                    f"{format_bytes(free / own_ratio)} free"
                )
