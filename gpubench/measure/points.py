"""Measure the points of a benchmark: one figure, or a curve whose points are sampled in turns.

What will be compared is sampled round robin, so that drift favours no point. There each sample
follows one untimed pass of its own: what another point left in the caches is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpubench.errors import BenchmarkFailed
from gpubench.measure.annotate import efficiency, flags_of, live_peak
from gpubench.measure.diagnostics import bimodal, trend
from gpubench.measure.run_context import RunContext
from gpubench.measure.sampling import passes_for
from gpubench.measure.series import Point, SampleSeries
from gpubench.measure.statistics import median, summarize
from gpubench.measure.stopping import StoppingRule, stopping_rule
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Efficiency, Measurement, Status

LONGEST_RUN_SECONDS = 0.3
"""So that a cancel is heard in time."""

CHECKED_SAMPLE = 1
"""The second of a series is taken on a poisoned result and checked by itself: what all samples together leave
behind would be right too if only the first did all its work. What lies in the caches before it is the poison.
"""


def measure_points(
    context: RunContext,
    planned: PlannedBenchmark,
    points: Sequence[Point],
    time_limit_seconds: float,
    *,
    rule: StoppingRule | None = None,
    cold: bool = False,
    warm: bool = False,
) -> list[Measurement]:
    """Verify, warm up, sample and verify again; a measurement for each point, in their order.

    Each point has a stopping rule of its own, with ``time_limit_seconds`` for its own samples, unless
    there is a ``rule`` for all. With ``cold`` a sample is one pass, and none goes before it untimed:
    for points whose data are different, and which drive each other out of the caches. ``warm`` says
    that the device is busy already. A point whose data are wrong has no figure.
    """
    most = context.samples_each(len(points))
    rule = rule or stopping_rule(planned.parameters, time_limit_seconds, most)
    series = [SampleSeries(point, rule, max_samples=most) for point in points]
    context.progress.phase("verifying")
    for each in series:
        context.raise_if_cancelled()
        each.wrong = verify(context, each)
    running = [each for each in series if each.wrong is None]
    context.progress.phase("warming_up")
    _warm_up(context, running, cold, warm)
    with context.watching():
        if len(running) == 1 and not cold:
            _sample_alone(context, running[0], time_limit_seconds)
        else:
            _sample_in_turns(context, running, time_limit_seconds, cold)
    return [measurement_of(context, planned, each) for each in series]


def verify(context: RunContext, series: SampleSeries) -> VerificationResult | None:
    """Poison, run a sample, and check it whole; the result where something is wrong.

    What was timed at once runs at once again, except where it keeps a cancel waiting.
    """
    _prepare(series.point)
    series.point.poison()
    if series.samples_seconds and median(series.samples_seconds) <= LONGEST_RUN_SECONDS:
        context.device.run(series.sample)
    else:
        context.run(series.sample)
    return _wrong(series.point.verify())


def _wrong(result: VerificationResult) -> VerificationResult | None:
    return result if result.mismatches else None


def _prepare(point: Point) -> None:
    if point.prepare:
        point.prepare()


def _warm_up(context: RunContext, running: Sequence[SampleSeries], cold: bool, warm: bool) -> None:
    """The first one warms the device; a pass of each other tells how many make a sample."""
    for number, each in enumerate(running):
        _prepare(each.point)
        if number == 0 and not warm:
            done = context.warm_up(each.point.operations)
            each.settle(1 if cold else done.passes)
            each.warm_up_seconds = done.seconds
            continue
        if cold:
            break
        context.raise_if_cancelled()
        context.device.run(each.point.operations)
        seconds = context.device.run(each.point.operations)
        each.settle(passes_for(each.point.operations, seconds, context.profile.min_sample_seconds))


def _sample_alone(context: RunContext, series: SampleSeries, limit_seconds: float) -> None:
    """One after the other; whatever the timed passes leave undone stays poisoned, and is found."""
    series.point.poison()
    while series.decision is None and not series.wrong:
        context.raise_if_cancelled()
        _take(context, series)
        moved = series.point.bus_bytes * series.passes
        context.progress.samples(series.samples_seconds, moved, series.elapsed_seconds / limit_seconds)
    series.wrong = series.wrong or _wrong(series.point.verify())


def _take(context: RunContext, series: SampleSeries) -> None:
    checked = len(series.samples_seconds) == CHECKED_SAMPLE
    if checked:
        series.point.poison()
    series.take(context)
    if checked:
        series.wrong = _wrong(series.point.verify())
        if series.decision is None:
            series.point.poison()  # for what the others do


def _sample_in_turns(
    context: RunContext, running: Sequence[SampleSeries], limit_seconds: float, cold: bool
) -> None:
    """Round robin; then each sample's very work once more, untimed, on poisoned results.

    What accumulates is checked first as the timed passes left it.
    """
    budget = limit_seconds * max(len(running), 1)
    while open_ones := [each for each in running if each.decision is None and not each.wrong]:
        for each in open_ones:
            context.raise_if_cancelled()
            if cold and len(open_ones) == 1:
                _run_another(context, running, each)
            _prepare(each.point)
            if not cold:
                context.device.run(each.point.operations)
            _take(context, each)
            context.progress.points(len(running), sum(one.elapsed_seconds for one in running) / budget)
    for each in running:
        context.raise_if_cancelled()
        if each.point.accumulates:
            each.wrong = each.wrong or _wrong(each.point.verify())
        each.wrong = each.wrong or verify(context, each)


def without_figure(
    planned: PlannedBenchmark,
    status: Status,
    reason: str,
    axes: Mapping[str, int | float | str] | None = None,
) -> Measurement:
    """What is said in place of a figure."""
    return Measurement(
        planned.name,
        planned.parameters,
        status,
        reason=reason,
        axes=dict(axes or {}),
        default_parameters=planned.default_parameters,
    )


def _run_another(context: RunContext, running: Sequence[SampleSeries], last: SampleSeries) -> None:
    """A pass of some other point: it drives out of the caches what the last open one left there."""
    other = next((each.point for each in running if each is not last), None)
    if other:
        _prepare(other)
        context.device.run(other.operations)


def measurement_of(context: RunContext, planned: PlannedBenchmark, series: SampleSeries) -> Measurement:
    """What a series says; its flags are of what was watched last. Raises ``BenchmarkFailed``."""
    point = series.point
    common: dict[str, Any] = {
        "axes": dict(point.axes),
        "places": dict(point.places),
        "footprint_bytes": point.footprint_bytes,
        "shape": point.shape,
        "default_parameters": planned.default_parameters,
        "quantity": "latency" if point.dependent else "bandwidth",
        "unit": "s" if point.dependent else "byte/s",
    }
    if series.wrong:
        # Without any figure: what was timed is not what was asked for.
        return Measurement(
            planned.name,
            planned.parameters,
            "unverified",
            reason=f"{series.wrong.mismatches} {series.wrong.what} are wrong",
            mismatches=series.wrong.mismatches,
            first_mismatches=series.wrong.first,
            flags=["unverified"],
            **common,
        )
    summary = summarize(series.samples_seconds)
    accesses = point.accesses * series.passes
    if summary.min_seconds <= 0:
        raise BenchmarkFailed("the device's clock is too coarse: a sample lasted 0 s")
    bus_bytes, bandwidth = series.bandwidth()
    telemetry = context.last_watched
    return Measurement(
        planned.name,
        planned.parameters,
        "ok",
        payload_bytes=bus_bytes if point.moved_bytes else point.payload_bytes * series.passes,
        bus_bytes=bus_bytes,
        accesses=accesses or None,
        passes_per_sample=series.passes,
        samples_seconds=series.samples_seconds,
        bandwidth_bytes_per_second=bandwidth,
        latency_seconds=summary.latency(accesses) if point.dependent else None,
        effective_samples=summary.effective_samples,
        autocorrelation=summary.autocorrelation,
        trend_ratio=trend(series.samples_seconds),
        bimodal=bimodal(series.samples_seconds),
        verified=True,
        mismatches=0,
        flags=flags_of(
            context.device.info,
            [context.peak_bytes_per_second, live_peak(context.theory, telemetry)],
            telemetry,
            series.samples_seconds,
            float(planned.parameters["target_ratio"]),
            footprint_bytes=None if point.caches_wanted else point.footprint_bytes,
            bus_bytes=None if point.caches_wanted else bus_bytes,
        ),
        efficiency_ratio=(
            efficiency(bandwidth.median, context.theory, telemetry)
            if bandwidth and not point.caches_wanted
            else Efficiency()
        ),
        stopped_because=series.decision.reason if series.decision else None,
        warm_up_seconds=series.warm_up_seconds,
        **common,
    )
