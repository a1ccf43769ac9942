"""Sustained: triad for seconds to minutes, window after window, with its power and heat."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gpubench.benchmarks.parameters import SustainedParameters
from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.benchmarks.sustained.findings import Window, findings
from gpubench.errors import InvalidParameters
from gpubench.measure.memory import releasing
from gpubench.measure.points import measurement_of, unverified, verify
from gpubench.measure.run_context import RunContext
from gpubench.measure.sampling import passes_for
from gpubench.measure.series import Point, SampleSeries
from gpubench.measure.statistics import median
from gpubench.measure.stop_decision import StopDecision
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement

WINDOW_SECONDS = 1.0
"""Energy counters advance in coarse steps: over less than a second they mean little."""

MAX_WINDOWS = 256
SAMPLES_PER_WINDOW = 50
"""So that the document of minutes stays below a client's limit. There are more, with a rest in between, if
passes are too short to be queued ahead of the device: only footprints within caches have such."""

IDLE_SECONDS = 1.5
_WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class _UntilEnd:
    """Ends a window after ``seconds``, however precise its figure is."""

    seconds: float

    def decide(self, samples_seconds: Sequence[float], elapsed_seconds: float) -> StopDecision | None:
        over = elapsed_seconds >= self.seconds
        return StopDecision("window_ended", {"window_seconds": self.seconds}) if over else None


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A figure for each window, then findings on all; raises ``InvalidParameters``."""
    parameters = SustainedParameters(**planned.parameters)
    window_seconds = parameters.window_seconds or parameters.time_limit_seconds or WINDOW_SECONDS
    duration = parameters.duration_seconds or window_seconds * context.profile.sustained_windows
    count = max(1, math.ceil(duration / window_seconds - 1e-9))
    if count > MAX_WINDOWS:
        raise InvalidParameters(
            f"{duration:g} s are {count} windows of {window_seconds:g} s; allowed: {MAX_WINDOWS} windows"
        )
    with releasing(StreamWorkspace(context, planned, STREAM["triad"])) as workspace:
        segments = workspace.cut()
        idle_watts = _idle_watts(context)
        task = workspace.task(segments)
        task.fill()
        point = task.point(workspace.tuned_shape(task))
        failure, windows = _windows(context, planned, point, window_seconds, count)
    if failure:
        yield unverified(planned, point, failure)
        return
    yield from (window.measurement for window in windows)
    yield from findings(planned.name, windows, idle_watts)


def _windows(
    context: RunContext, planned: PlannedBenchmark, point: Point, window_seconds: float, count: int
) -> tuple[VerificationResult | None, list[Window]]:
    """The failed verification before or after them, if any, and all windows.

    To verify in between would let the device rest. So the work of the last sample is done once more after
    them, on a poisoned output.
    """
    context.progress.phase("verifying")
    point.poison()
    context.run(point.operations)
    result = point.verify()
    if result.mismatches:
        return result, []
    context.progress.phase("warming_up")
    warm = context.warm_up(point.operations)
    pass_seconds = median([context.run(point.operations) for _ in range(3)])
    passes = max(warm.passes, passes_for(point.operations, pass_seconds, window_seconds / SAMPLES_PER_WINDOW))
    point.poison()
    windows: list[Window] = []
    begin = time.monotonic()
    for number in range(count):
        at = time.monotonic() - begin
        series = SampleSeries(
            replace(point, axes={"window": number}, places={"begin_seconds": round(at, 4)}),
            _UntilEnd(window_seconds),
            passes,
            warm.seconds,
            max_samples=context.samples_each(count - number),
        )
        with context.watching():
            while series.decision is None:
                context.raise_if_cancelled()
                series.take_sample(context)
                part = (number + series.elapsed_seconds / window_seconds) / count
                context.progress.samples(series.samples_seconds, point.bus_bytes * passes, part)
        seconds = time.monotonic() - begin - at
        measurement = measurement_of(context, planned, series)
        windows.append(Window(measurement, seconds, context.last_watched))
    result = point.verify()
    return (result if result.mismatches else verify(context, series)), windows


def _idle_watts(context: RunContext) -> float | None:
    """Of the idle device just before, its clocks perhaps still high; None if unknown."""
    if not context.profile.reports_power or context.device.watch().stop().absent:
        return None
    begin, watch = time.monotonic(), context.device.watch()
    try:
        while time.monotonic() - begin < IDLE_SECONDS:
            context.raise_if_cancelled()
            time.sleep(_WAIT_SECONDS)
    finally:
        seconds = time.monotonic() - begin
        telemetry = watch.stop()
    if telemetry.energy_joules is not None:
        return telemetry.energy_joules / seconds
    watts = [look.power_watts for look in telemetry.samples if look.power_watts is not None]
    return median(watts) if watts else None
