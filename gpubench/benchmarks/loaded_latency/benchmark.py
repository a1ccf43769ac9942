"""Latency under load: one group chases pointers while all others read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gpubench.benchmarks.latency.chase import Chase, whole_steps
from gpubench.benchmarks.loaded_latency.readers import Readers, tells_units
from gpubench.benchmarks.parameters import LoadedLatencyParameters
from gpubench.measure.memory import releasing
from gpubench.measure.points import measure_points, unverified
from gpubench.measure.run_context import RunContext, Skipped
from gpubench.measure.series import Point
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement
from gpubench.units import format_bandwidth, format_ratio, format_seconds

BESIDE_READERS = "beside readers"
WALKERS: tuple[str, ...] = ("alone", BESIDE_READERS)
"""Whether the walk has its multiprocessor for itself. With readers there it waits for their turns as well, as
a program's own accesses would, and not for the memory alone."""

WAITING_RATIO = 1.5
"""Accesses that take this much longer than idle ones wait for others."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """A figure with latency and bandwidth for each load, and findings on all."""
    if (context.device.info.compute_units or 1) < 2:
        raise Skipped("one core cannot follow pointers and read at the same time")
    parameters = LoadedLatencyParameters(**planned.parameters)
    walkers = WALKERS if tells_units(context.device.info) else (None,)
    line_bytes = parameters.line_bytes or context.profile.line_bytes
    limit = context.device.info.max_allocation_bytes
    half = context.footprint_bytes(parameters.footprint_bytes) // 2
    half = min(half, limit // 2 - (1 << 20)) if limit else half
    [segment] = context.arena.cut(2 * half, 2, 8, line_bytes)
    walk_memory, read_memory = segment.arrays
    nbytes = segment.elements * 8
    with (
        releasing(MismatchReports(context.device)) as reports,
        releasing(Chase(context, walk_memory, nbytes, line_bytes=line_bytes, seed=parameters.seed)) as chase,
        releasing(Readers(context, chase, read_memory, nbytes, parameters.seed)) as readers,
    ):
        linked = chase.link(reports)
        points = [
            _Load(chase, readers, reports, line_bytes, steps).point(2 * nbytes, load, delay, walker)
            for steps, load, delay in _plan(context, chase, readers, linked, parameters.loads)
            for walker in walkers
        ]
        if linked.mismatches:
            yield from (unverified(planned, each, linked) for each in points)
            return
        # The walk and the readers continue from the last sample, so no untimed pass is needed; calibrating
        # has warmed the device up.
        default_limit = context.profile.loaded_latency_point_limit_seconds
        measured = measure_points(context, planned, points, default_limit, cold=True, warm=True)
        yield from measured
        yield from findings(planned.name, measured)


def _plan(
    context: RunContext, chase: Chase, readers: Readers, linked: VerificationResult, loads: int
) -> list[tuple[int, int, int]]:
    """(steps of a pass, load in percent, idle turns of a reader after each chunk) for each point.

    Raises ``Skipped`` if groups do not run at the same time.
    """
    if linked.mismatches:
        return [(0, 0, 0)]
    chase.begin()
    each = chase.warm_up(0)
    steps = whole_steps(context.profile.loaded_latency_pass_seconds / each)
    chunk_seconds, turn_seconds = readers.calibrate(steps)
    percents = [round(100 * number / (loads - 1)) for number in range(loads)]
    return [
        (steps, load, round(chunk_seconds * (100 / load - 1) / turn_seconds) if load else 0)
        for load in percents
    ]


@dataclass
class _Load:
    """A walk of ``steps`` beside readers; both are verified. ``cut`` counts readers that ended before it."""

    chase: Chase
    readers: Readers
    reports: MismatchReports
    line_bytes: int
    steps: int
    cut: int = 0

    def point(self, footprint_bytes: int, load: int, delay: int, walker: str | None) -> Point:
        launch = self.readers.launch(self.steps, delay, reading=load > 0, alone=walker == "alone")
        return Point(
            operations=[launch],
            payload_bytes=0,
            bus_bytes=0,
            footprint_bytes=footprint_bytes,
            poison=self._poison,
            verify=self._verify,
            axes={"load_percent": load, **({"walker": walker} if walker else {})},
            accesses=self.steps,
            dependent=True,
            moved_bytes=self._moved_bytes,
            accumulates=True,
        )

    def _poison(self) -> None:
        self.chase.begin()
        self.readers.begin()

    def _verify(self) -> VerificationResult:
        self.cut += self.readers.newly_cut()
        if self.cut:
            return VerificationResult(self.cut, [], "ends of readers")
        ended = self.chase.result(self.steps)
        return ended if ended.mismatches else self.readers.result(self.reports)

    def _moved_bytes(self) -> int:
        """Called before and after each sample, so that readers cut since then were cut in this one."""
        self.cut += self.readers.newly_cut()
        return self.chase.walked() * self.line_bytes + self.readers.read_bytes()


def findings(benchmark: str, measured: Sequence[Measurement]) -> Iterator[Finding]:
    """Idle and the highest load side by side, and the bandwidth at which accesses surely wait.

    None without an idle point. Those of a walk beside readers of its own multiprocessor have names of their
    own: what waits there is not the memory alone.
    """
    for walker in dict.fromkeys(m.axes.get("walker") for m in measured):
        same = [m for m in measured if m.axes.get("walker") == walker]
        for finding in _findings(benchmark, same):
            if walker == BESIDE_READERS:
                name, text = (
                    f"{finding.name}_beside_readers",
                    f"readers on its multiprocessor: {finding.text}",
                )
                finding = msgspec.structs.replace(finding, name=name, text=text)
            yield finding


def _findings(benchmark: str, measured: Sequence[Measurement]) -> Iterator[Finding]:
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
