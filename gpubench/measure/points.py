"""Measure the points of a benchmark: one figure, or a curve whose points are sampled in turns.

What will be compared is sampled round robin, so that drift favours no point. There each sample
follows one untimed pass of the same point, since the caches hold the data of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpubench.catalog.theory import upper_limit
from gpubench.errors import BenchmarkFailed
from gpubench.measure.annotate import efficiency, flags_of, live_peak
from gpubench.measure.diagnostics import bimodal, trend
from gpubench.measure.no_figure import without_figure
from gpubench.measure.run_context import RunContext
from gpubench.measure.sampling import passes_for
from gpubench.measure.series import Point, SampleSeries
from gpubench.measure.statistics import median, summarize
from gpubench.measure.stop_decision import StopDecision
from gpubench.measure.stopping import StoppingRule, stopping_rule
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Efficiency, Measurement

LONGEST_RUN_SECONDS = 0.3
"""Of operations that run without a look at whether the run is cancelled."""

VERIFIED_SAMPLE = 1
"""The second sample of a series is taken on a poisoned output and verified by itself: the output after all
samples would be right even if only the first did all its work. The caches before it hold the poison.
"""


def measure_points(
    context: RunContext,
    planned: PlannedBenchmark,
    points: Sequence[Point],
    default_limit_seconds: float | None = None,
    *,
    rule: StoppingRule | None = None,
    cold: bool = False,
    warm: bool = False,
) -> list[Measurement]:
    """Verify, warm up, sample and verify again; a measurement for each point, in their order.

    Each point has a stopping rule of its own, unless there is a ``rule`` for all, and a time limit for its
    own samples: the one that the user set, else ``default_limit_seconds``, else the profile's for a point.
    With ``cold`` a sample is one pass, and no untimed pass goes before it: for points with different data,
    which evict each other from the caches. ``warm``: the device is busy already. A point that fails its
    verification has no figure.
    """
    default_limit_seconds = default_limit_seconds or context.profile.point_time_limit_seconds
    time_limit_seconds = planned.parameters["time_limit_seconds"] or default_limit_seconds
    most = context.samples_each(len(points))
    rule = rule or stopping_rule(planned.parameters, time_limit_seconds, most)
    series = [SampleSeries(point, rule, max_samples=most) for point in points]
    context.progress.phase("verifying")
    for each in series:
        context.raise_if_cancelled()
        each.failure = verify(context, each)
    running = [each for each in series if each.failure is None]
    context.progress.phase("warming_up")
    _warm_up(context, running, cold, warm)
    with context.watching():
        if len(running) == 1 and not cold:
            _sample_alone(context, running[0], time_limit_seconds)
        else:
            _sample_in_turns(context, running, time_limit_seconds, cold)
    return [_measured_or_failed(context, planned, each) for each in series]


def _measured_or_failed(context: RunContext, planned: PlannedBenchmark, series: SampleSeries) -> Measurement:
    """One point that has no figure does not discard the others of its curve."""
    try:
        return measurement_of(context, planned, series)
    except BenchmarkFailed as error:
        return without_figure(planned, "failed", error.message, series.point.axes)


def verify(context: RunContext, series: SampleSeries) -> VerificationResult | None:
    """Poison the output, run a sample, and verify all of it; the result if it failed.

    What was timed in one go runs in one go again, unless that would delay a cancellation.
    """
    _prepare(series.point)
    series.point.poison()
    if series.samples_seconds and median(series.samples_seconds) <= LONGEST_RUN_SECONDS:
        context.device.run(series.sample)
    else:
        context.run(series.sample)
    return _failure(series.point)


def _failure(point: Point) -> VerificationResult | None:
    result = point.verify()
    return result if result.mismatches else None


def _prepare(point: Point) -> None:
    if point.prepare:
        point.prepare()


def _warm_up(context: RunContext, running: Sequence[SampleSeries], cold: bool, warm: bool) -> None:
    """The first point warms the device; a pass of each other shows how many passes make a sample."""
    for number, each in enumerate(running):
        _prepare(each.point)
        if number == 0 and not warm:
            done = context.warm_up(each.point.operations)
            each.set_passes(1 if cold else done.passes)
            each.warm_up_seconds = done.seconds
            continue
        if cold:
            break
        context.raise_if_cancelled()
        context.device.run(each.point.operations)
        seconds = context.pass_seconds(each.point.operations)
        each.set_passes(passes_for(each.point.operations, seconds, context.min_sample_seconds))


def _sample_alone(context: RunContext, series: SampleSeries, limit_seconds: float) -> None:
    """One sample after the other; whatever the timed passes did not write stays poisoned, and is found."""
    series.point.poison()
    while series.decision is None and not series.failure:
        context.raise_if_cancelled()
        _take_sample(context, series)
        moved = series.point.bus_bytes * series.passes
        context.progress.samples(series.samples_seconds, moved, series.elapsed_seconds / limit_seconds)
    series.failure = series.failure or _failure(series.point)


def _take_sample(context: RunContext, series: SampleSeries) -> None:
    is_verified = len(series.samples_seconds) == VERIFIED_SAMPLE
    if is_verified:
        series.point.poison()
    series.take_sample(context)
    if is_verified:
        series.failure = _failure(series.point)
        if series.decision is None:
            series.point.poison()  # for the samples to come


def _sample_in_turns(
    context: RunContext, running: Sequence[SampleSeries], limit_seconds: float, cold: bool
) -> None:
    """Round robin; then the same work as each sample once more, untimed, on poisoned outputs.

    What accumulates is verified first as the timed passes left it.
    """
    budget = limit_seconds * max(len(running), 1)
    while unfinished := [each for each in running if each.decision is None and not each.failure]:
        for each in unfinished:
            context.raise_if_cancelled()
            if cold and len(unfinished) == 1:
                _run_another(context, running, each)
            _prepare(each.point)
            if not cold:
                context.device.run(each.point.operations)
            _take_sample(context, each)
            context.progress.points(len(running), sum(one.elapsed_seconds for one in running) / budget)
    for each in running:
        context.raise_if_cancelled()
        if each.point.accumulates:
            each.failure = each.failure or _failure(each.point)
        each.failure = each.failure or verify(context, each)


def _run_another(context: RunContext, running: Sequence[SampleSeries], last: SampleSeries) -> None:
    """A pass of some other point, which evicts from the caches what the last unfinished one left there."""
    other = next((each.point for each in running if each is not last), None)
    if other:
        _prepare(other)
        context.device.run(other.operations)


def unverified(planned: PlannedBenchmark, point: Point, failure: VerificationResult) -> Measurement:
    """A point that failed its verification: without any figure, since other work was timed."""
    return Measurement(
        planned.name,
        planned.parameters,
        "unverified",
        reason=f"{failure.mismatches} {failure.what} are wrong",
        mismatches=failure.mismatches,
        first_mismatches=failure.first,
        flags=["unverified"],
        **_common(planned, point),
    )


def measurement_of(context: RunContext, planned: PlannedBenchmark, series: SampleSeries) -> Measurement:
    """The figures of a series, with flags from what was watched last. Raises ``BenchmarkFailed``."""
    point = series.point
    if series.failure:
        return unverified(planned, point, series.failure)
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
            upper_limit(context.peak_bytes_per_second, live_peak(context.theory, telemetry)),
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
        **_stop_fields(series.decision),
        warm_up_seconds=series.warm_up_seconds,
        discarded_samples=series.discarded,
        huge_page_ratio=context.huge_page_ratio,
        **_common(planned, point),
    )


def _stop_fields(decision: StopDecision | None) -> dict[str, Any]:
    """What a measurement keeps of the decision that ended its series."""
    if decision is None:
        return {}
    return {
        "stopped_because": decision.reason,
        "stop_code": decision.code,
        "stop_unmet_code": decision.unmet,
        "stop_values": dict(decision.values),
    }


def _common(planned: PlannedBenchmark, point: Point) -> dict[str, Any]:
    return {
        "axes": dict(point.axes),
        "places": dict(point.places),
        "footprint_bytes": point.footprint_bytes,
        "shape": point.shape,
        "default_parameters": planned.default_parameters,
        "quantity": "latency" if point.dependent else "bandwidth",
        "unit": "s" if point.dependent else "byte/s",
    }
