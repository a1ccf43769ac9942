"""One run on one device: tune, verify and measure each benchmark in turn, and tell as it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gpubench import __version__
from gpubench.benchmarks.parameters import SHAPE_FIELDS, StreamParameters
from gpubench.benchmarks.stream import Programs, StreamTask, Verdict
from gpubench.benchmarks.table import BENCHMARKS, Benchmark
from gpubench.catalog.theory import theory_for_device
from gpubench.devices import host
from gpubench.devices.base import Device
from gpubench.errors import BenchmarkFailed, Cancelled, InvalidParameters, OutOfDeviceMemory
from gpubench.kernels.source import ReadSource, read_source, source_hash
from gpubench.measure.figure import efficiency, flags_of, merge, since
from gpubench.measure.memory import Arena
from gpubench.measure.sampling import BUSY_LIMIT_SECONDS, COLD_LIMIT_SECONDS, Series, take_samples, warm_up
from gpubench.measure.shapes import ELEMENT_BYTES, candidates, chunk_bytes
from gpubench.measure.statistics import summarize
from gpubench.measure.stopping import MedianPrecision
from gpubench.measure.telling import Teller
from gpubench.measure.tuning import best, try_shapes
from gpubench.measure.validity import required_footprint_bytes
from gpubench.protocol.messages import Progress, StatedMemory
from gpubench.results.document import Environment, Measurement, Shape, Telemetry, Tuning
from gpubench.units import format_bytes
from gpubench.worker.messages import Finished, PlannedBenchmark, Run, Started

TIME_LIMIT_SECONDS = {"cpu": 2.0, "gpu": 1.0, "accelerator": 1.0}

MAX_MEMORY_SHARE = 0.9
"""Of what is free: a device filled to the last byte fails in other programs' hands."""


class Reporter(Protocol):
    """Who is told of a run as it goes."""

    def check(self) -> None:
        """Raises ``Cancelled`` where the run is to end."""
        ...

    def started(self, event: Started) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def tuned(self, tuning: Tuning) -> None: ...
    def measured(self, measurement: Measurement) -> None: ...


@dataclass(frozen=True)
class _Job:
    """One benchmark of the run, with its memory cut and its task ready."""

    planned: PlannedBenchmark
    benchmark: Benchmark
    parameters: StreamParameters
    shapes: list[Shape]
    task: StreamTask


class Session:
    """The state of one run: memory, compiled programs, and the shapes found."""

    def __init__(
        self,
        device: Device,
        reporter: Reporter,
        memory: StatedMemory | None = None,
        read: ReadSource = read_source,
    ) -> None:
        self._device = device
        self._report = reporter
        self._theory = theory_for_device(device.info, memory)
        # What a client states may not lift the bar that the device itself sets.
        peaks = [t.peak_bytes_per_second for t in (self._theory, theory_for_device(device.info)) if t]
        self._peak = min(peaks, default=None)
        self._free_bytes = device.free_bytes()
        self._begin = time.monotonic()
        self._programs = Programs(device, read)
        self._arena = Arena(device)
        self._shapes: dict[tuple[object, ...], Shape] = {}
        self._watched: list[Telemetry] = []

    def run(self, run: Run) -> Finished:
        """Measure all; raises ``OutOfDeviceMemory`` and ``DeviceLost``, which end a run."""
        self._report.started(Started(self._device.info, self._environment(), self._theory))
        cancelled = False
        try:
            self._refuse_too_large(run.benchmarks)
            for index, planned in enumerate(run.benchmarks):
                self._report.check()
                tell = Teller(self._report.progress, planned.name, index, len(run.benchmarks))
                self._report.measured(self._measure(planned, tell))
        except Cancelled:
            cancelled = True
        finally:
            self._arena.release()
        return Finished(self._device.clocks(), merge(self._watched), cancelled)

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
        free = self._free_bytes
        allowed = int(free * MAX_MEMORY_SHARE)
        for each in planned:
            footprint = each.parameters["footprint_bytes"]
            if footprint is not None and footprint > allowed:
                raise OutOfDeviceMemory(
                    f"{each.name}: a footprint of {format_bytes(footprint)} is more than the "
                    f"{format_bytes(allowed)} that a run may use of {format_bytes(free)} free",
                )

    def _measure(self, planned: PlannedBenchmark, tell: Teller) -> Measurement:
        try:
            tell.phase("starting")
            job = self._prepare(planned)
            try:
                job.task.fill()
                return self._figure(job, self._tune(job, tell), tell)
            finally:
                job.task.release()
        except (BenchmarkFailed, InvalidParameters) as error:
            # One benchmark that fails does not end the others.
            return Measurement(
                planned.name,
                planned.parameters,
                "failed",
                reason=error.message,
                default_parameters=planned.default_parameters,
            )

    def _prepare(self, planned: PlannedBenchmark) -> _Job:
        info = self._device.info
        benchmark = BENCHMARKS[planned.name]
        parameters = StreamParameters(**planned.parameters)
        shapes = candidates(info, benchmark.access, parameters.dtype, planned.parameters)
        footprint = parameters.footprint_bytes or required_footprint_bytes(
            info.kind, info.last_level_cache_bytes, self._free_bytes
        )
        segments = self._arena.cut(
            footprint, benchmark.arrays, ELEMENT_BYTES[parameters.dtype], max(map(chunk_bytes, shapes))
        )
        task = StreamTask(
            self._device, self._programs, benchmark, parameters.dtype, segments, parameters.seed
        )
        return _Job(planned, benchmark, parameters, shapes, task)

    def _tune(self, job: _Job, tell: Teller) -> Shape:
        """The shape for this class of access, tried once in a run for all its benchmarks."""
        if len(job.shapes) == 1:
            return job.shapes[0]
        pins = tuple(job.planned.parameters[name] for name in SHAPE_FIELDS)
        key = (job.benchmark.access, job.parameters.dtype, job.parameters.footprint_bytes, pins)
        if key not in self._shapes:
            trials = try_shapes(
                self._device,
                job.task,
                job.shapes,
                self._report.check,
                lambda part: tell.phase("tuning", part),
            )
            self._shapes[key] = best(trials)
            self._report.tuned(
                Tuning(
                    job.benchmark.access,
                    job.benchmark.name,
                    job.parameters.dtype,
                    job.task.footprint_bytes,
                    self._shapes[key],
                    trials,
                )
            )
        return self._shapes[key]

    def _figure(self, job: _Job, shape: Shape, tell: Teller) -> Measurement:
        """Check, warm up, time, and check again what the timed passes left."""
        tell.phase("verifying")
        verdict = job.task.verify(shape)
        if verdict.mismatches:
            return self._unverified(job, shape, verdict)
        launches = job.task.launches(shape)
        tell.phase("warming_up")
        limit = BUSY_LIMIT_SECONDS if self._watched else COLD_LIMIT_SECONDS
        warm = warm_up(self._device, launches, limit, self._report.check)
        time_limit = job.parameters.time_limit_seconds or TIME_LIMIT_SECONDS[self._device.info.kind]
        rule = MedianPrecision(job.parameters.target_ratio, time_limit)
        payload_bytes, bus_bytes = (warm.passes * each for each in job.task.pass_bytes(shape))
        # Whatever the timed passes leave undone stays poisoned, and is found afterwards.
        job.task.poison(shape)
        begin = time.monotonic() - self._begin
        watch = self._device.watch()
        try:
            series = take_samples(
                self._device,
                launches,
                warm.passes,
                rule,
                self._report.check,
                lambda samples, elapsed: tell.samples(samples, bus_bytes, elapsed / time_limit),
            )
        finally:
            self._watched.append(since(begin, watch.stop()))
        verdict = job.task.check(shape)
        if verdict.mismatches:
            return self._unverified(job, shape, verdict)
        return self._verified(job, shape, series, payload_bytes, bus_bytes, warm.passes, warm.seconds)

    def _verified(
        self,
        job: _Job,
        shape: Shape,
        series: Series,
        payload_bytes: int,
        bus_bytes: int,
        passes: int,
        warm_up_seconds: float,
    ) -> Measurement:
        summary = summarize(series.samples_seconds)
        bandwidth = summary.bandwidth(bus_bytes)
        if bandwidth is None:
            raise BenchmarkFailed("the device's clock is too coarse: a sample lasted 0 s")
        telemetry = self._watched[-1]
        return Measurement(
            job.benchmark.name,
            job.planned.parameters,
            "ok",
            footprint_bytes=job.task.footprint_bytes,
            payload_bytes=payload_bytes,
            bus_bytes=bus_bytes,
            passes_per_sample=passes,
            shape=shape,
            samples_seconds=series.samples_seconds,
            bandwidth_bytes_per_second=bandwidth,
            effective_samples=summary.effective_samples,
            autocorrelation=summary.autocorrelation,
            verified=True,
            mismatches=0,
            flags=flags_of(
                self._device.info,
                self._peak,
                telemetry,
                series.samples_seconds,
                job.parameters.target_ratio,
                footprint_bytes=job.task.footprint_bytes,
                bus_bytes=bus_bytes,
            ),
            efficiency_ratio=efficiency(bandwidth.median, self._theory, telemetry),
            stopped_because=series.decision.reason,
            warm_up_seconds=warm_up_seconds,
            default_parameters=job.planned.default_parameters,
        )

    def _unverified(self, job: _Job, shape: Shape, verdict: Verdict) -> Measurement:
        """Without any figure: what was timed is not what was asked for."""
        what = "group sums" if job.benchmark.access == "read" else "elements"
        return Measurement(
            job.benchmark.name,
            job.planned.parameters,
            "unverified",
            reason=f"{verdict.mismatches} {what} are wrong",
            footprint_bytes=job.task.footprint_bytes,
            shape=shape,
            mismatches=verdict.mismatches,
            first_mismatches=verdict.first,
            flags=["unverified"],
            default_parameters=job.planned.default_parameters,
        )
