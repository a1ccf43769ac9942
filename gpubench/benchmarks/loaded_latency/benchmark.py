"""Latency under load: one group walks from pointer to pointer while all others read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpubench.benchmarks.latency.chase import LINE_BYTES, Chase, whole_steps
from gpubench.benchmarks.loaded_latency.readers import Readers
from gpubench.benchmarks.parameters import LoadedLatencyParameters
from gpubench.measure.points import measure_points, measurement_of
from gpubench.measure.run_context import RunContext, Skipped
from gpubench.measure.series import Point, SampleSeries
from gpubench.measure.stopping import stopping_rule
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement
from gpubench.units import format_bandwidth, format_ratio, format_seconds

LIMIT_SECONDS = {"cpu": 0.5, "gpu": 0.2, "accelerator": 0.2}
PASS_SECONDS = {"cpu": 5e-3, "gpu": 4e-3, "accelerator": 4e-3}
"""Of an idle walk: what groups begin later than others is nothing beside it."""

WAITING_RATIO = 1.5
"""Accesses that take so much longer than idle ones wait for others."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A figure with latency and bandwidth for each load, and what they say together."""
    if (context.device.info.compute_units or 1) < 2:
        raise Skipped("one core cannot walk and read at once")
    parameters = LoadedLatencyParameters(**planned.parameters)
    line_bytes = parameters.line_bytes or LINE_BYTES[context.device.info.kind]
    limit = context.device.info.max_allocation_bytes
    half = context.footprint_bytes(parameters.footprint_bytes) // 2
    half = min(half, limit // 2 - (1 << 20)) if limit else half
    [segment] = context.arena.cut(2 * half, 2, 8, line_bytes)
    walk_memory, read_memory = segment.arrays
    nbytes = segment.elements * 8
    reports = MismatchReports(context.device)
    chase = Chase(context, walk_memory, nbytes, line_bytes=line_bytes, seed=parameters.seed)
    readers: Readers | None = None
    try:
        readers = Readers(context, chase, read_memory, nbytes, parameters.seed)
        linked = chase.link(reports)
        points = [
            _Load(chase, readers, reports, line_bytes, steps).point(2 * nbytes, load, delay)
            for steps, load, delay in _plan(context, chase, readers, linked, parameters.loads)
        ]
        seconds = parameters.time_limit_seconds or LIMIT_SECONDS[context.device.info.kind]
        if linked.mismatches:
            rule = stopping_rule(planned.parameters, seconds)
            yield from (
                measurement_of(context, planned, SampleSeries(each, rule, wrong=linked)) for each in points
            )
            return
        # Walk and readers go on where the last sample ended, so no untimed pass is needed; trying has
        # warmed the device.
        measured = measure_points(context, planned, points, seconds, cold=True, warm=True)
        yield from measured
        yield from findings(planned.name, measured)
    finally:
        if readers:
            readers.release()
        chase.release()
        reports.release()


def _plan(
    context: RunContext, chase: Chase, readers: Readers, linked: VerificationResult, loads: int
) -> list[tuple[int, int, int]]:
    """(steps of a pass, load in percent, turns of idling) for each point.

    Raises ``Skipped`` where groups do not run beside each other.
    """
    if linked.mismatches:
        return [(0, 0, 0)]
    chase.begin()
    each = chase.settle(0)
    steps = whole_steps(PASS_SECONDS[context.device.info.kind] / each)
    chunk_seconds, turn_seconds = readers.calibrate(steps)
    percents = [round(100 * number / (loads - 1)) for number in range(loads)]
    return [
        (steps, load, round(chunk_seconds * (100 / load - 1) / turn_seconds) if load else 0)
        for load in percents
    ]


@dataclass
class _Load:
    """A walk of ``steps`` beside readers, checked as both; ``cut`` counts readers that ended before it."""

    chase: Chase
    readers: Readers
    reports: MismatchReports
    line_bytes: int
    steps: int
    cut: int = 0

    def point(self, footprint_bytes: int, load: int, delay: int) -> Point:
        return Point(
            operations=[self.readers.launch(self.steps, delay, reading=load > 0)],
            payload_bytes=0,
            bus_bytes=0,
            footprint_bytes=footprint_bytes,
            poison=self._poison,
            verify=self._check,
            axes={"load_percent": load},
            accesses=self.steps,
            dependent=True,
            moved_bytes=self._moved_bytes,
            accumulates=True,
        )

    def _poison(self) -> None:
        self.chase.begin()
        self.readers.begin()

    def _check(self) -> VerificationResult:
        self.cut += self.readers.newly_cut()
        if self.cut:
            return VerificationResult(self.cut, [], "ends of readers")
        ended = self.chase.result(self.steps)
        return ended if ended.mismatches else self.readers.result(self.reports)

    def _moved_bytes(self) -> int:
        """Asked before and after each sample: what was cut since the last time, was cut in this one."""
        self.cut += self.readers.newly_cut()
        return self.chase.walked() * self.line_bytes + self.readers.read_bytes()


def findings(benchmark: str, measured: Sequence[Measurement]) -> Iterator[Finding]:
    """Idle and the highest load side by side, and the bandwidth at which accesses surely wait.

    None without an idle point.
    """
    curve = {
        m.axes["load_percent"]: (m.bandwidth_bytes_per_second.median, m.latency_seconds)
        for m in sorted(measured, key=lambda m: m.axes["load_percent"])
        if m.bandwidth_bytes_per_second and m.latency_seconds
    }
    if 0 not in curve or len(curve) < 2:
        return
    _, idle = curve.pop(0)
    yield Finding(benchmark, "idle_latency", f"idle: {format_seconds(idle.median)}", idle.median, "s")
    *_, (most, loaded) = curve.values()
    if loaded.low > idle.high or loaded.high < idle.low:
        against = f"{format_ratio(loaded.median / idle.median)} of idle"
    else:
        against = f"no measurable difference from idle (at most {format_ratio(loaded.high / idle.low)})"
    text = f"at {format_bandwidth(most)}: {format_seconds(loaded.median)}, {against}"
    yield Finding(benchmark, "loaded_latency", text, loaded.median, "s")
    surely = (rate for rate, latency in curve.values() if latency.low > WAITING_RATIO * idle.high)
    if waiting := next(surely, None):
        text = (
            f"the latency passes {format_ratio(WAITING_RATIO)} of idle at {format_bandwidth(waiting)} or less"
        )
        yield Finding(benchmark, "waiting_bandwidth", text, waiting, "byte/s")
