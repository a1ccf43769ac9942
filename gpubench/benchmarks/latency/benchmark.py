"""Latency over footprint: a pointer chase, and the levels that its curve shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from msgspec import structs

from gpubench.benchmarks.latency.chase import Chase, Order, whole_steps
from gpubench.benchmarks.parameters import LatencyParameters
from gpubench.devices.base import Buffer
from gpubench.measure.levels import (
    CurvePoint,
    figure_of,
    known_caches,
    ladder,
    level_findings,
    memory_from_bytes,
    memory_proviso,
)
from gpubench.measure.memory import PAGE_BYTES, releasing
from gpubench.measure.points import measure_points, unverified
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.validity import FREE_MEMORY_SHARE
from gpubench.measure.verification.arrays import ArrayVerifier
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_seconds

LEAST_BYTES = 4096
MIN_LARGEST_BYTES = 256 << 20

PASS_SECONDS = 2e-3
"""A launch costs some 10 us; longer passes are often interrupted on a host that others use too."""

WARM_UP_CACHE_MULTIPLE = 32
"""Beyond this multiple of the cache, it does not matter what verifying the links left there."""

EVICTED_CACHE_MULTIPLE = 3
"""So much other memory is written on a GPU before each sample of a walk that does not fit into the cache. Two
walks in turns find there what the other one has left: on an H100, up to 27 MiB in its cache of 50 MiB, and so
in 192 MiB a latency 8 % too low."""


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """One figure for each footprint and order; then the levels of each order's curve."""
    parameters = LatencyParameters(**planned.parameters)
    line_bytes = parameters.line_bytes or context.profile.line_bytes
    footprints = ladder(max(LEAST_BYTES, 4 * line_bytes), _largest_bytes(context, parameters.footprint_bytes))
    [segment] = context.arena.cut(footprints[-1], 1, 8, line_bytes)
    orders: list[Order] = [parameters.order] if parameters.order else ["random", "paged"]
    curves: dict[Order, list[CurvePoint]] = {order: [] for order in orders}
    with ExitStack() as stack:
        reports = stack.enter_context(releasing(MismatchReports(context.device)))
        eviction = stack.enter_context(releasing(_Eviction(context, footprints[-1])))
        for number, footprint in enumerate(footprints):
            context.progress.part(number, len(footprints))
            # Within one page there is one order only.
            walked = [order for order in orders if order == "random" or footprint > parameters.page_bytes]
            measured = _footprint(
                context,
                planned,
                parameters,
                segment.arrays[0],
                footprint,
                line_bytes,
                walked,
                reports,
                eviction,
                number > 0,
            )
            for order, each in zip(walked, measured, strict=True):
                yield each
                if latency := each.latency_seconds:
                    curves[order].append(CurvePoint(footprint, latency.p5, latency.median))
    yield from findings(context.device.info, planned.name, curves)


def _largest_bytes(context: RunContext, asked: int | None) -> int:
    """Of the curve: as asked, or far enough into memory; in one allocation, since a kernel takes one."""
    info = context.device.info
    share = context.free_bytes // FREE_MEMORY_SHARE
    if multiple := context.profile.latency_cache_multiple:
        share = min(share, max(multiple * (info.last_level_cache_bytes or 0), MIN_LARGEST_BYTES))
    limit = info.max_allocation_bytes
    return min(asked or share, limit - 2 * PAGE_BYTES if limit else 1 << 62)


def _footprint(
    context: RunContext,
    planned: PlannedBenchmark,
    parameters: LatencyParameters,
    memory: Buffer,
    footprint: int,
    line_bytes: int,
    orders: list[Order],
    reports: MismatchReports,
    eviction: _Eviction,
    warm: bool,
) -> list[Measurement]:
    """All orders walk through the same lines, in turns; nodes that are not one cycle are not walked."""
    with ExitStack() as stack:
        points, linked = [], []
        for order in orders:
            chase = Chase(
                context,
                memory,
                footprint,
                line_bytes=line_bytes,
                order=order,
                page_bytes=parameters.page_bytes,
                seed=parameters.seed,
            )
            stack.enter_context(releasing(chase))
            linked.append(chase.link(reports))
            prepare = eviction.before(footprint)
            steps = 0 if prepare else _warm_up_steps(context, chase, footprint)
            points.append(_point(chase, footprint, linked[-1], steps, prepare))
        right = [point for point, result in zip(points, linked, strict=True) if not result.mismatches]
        limit = context.profile.latency_point_limit_seconds
        measured = iter(measure_points(context, planned, right, limit, cold=True, warm=warm) if right else [])
        return [
            unverified(planned, point, result) if result.mismatches else next(measured)
            for point, result in zip(points, linked, strict=True)
        ]


class _Eviction:
    """Other memory to write on a GPU, so that its cache holds nothing of the lines that are walked through.

    Smaller footprints than this memory stay partly cached.
    """

    def __init__(self, context: RunContext, largest_footprint: int) -> None:
        cache = 0 if context.profile.is_host_processor else context.device.info.last_level_cache_bytes or 0
        self._nbytes = EVICTED_CACHE_MULTIPLE * cache
        self._held = ExitStack()
        self._is_used = 0 < self._nbytes <= largest_footprint
        if self._is_used:
            self._writer = self._held.enter_context(releasing(ArrayVerifier(context, "double")))
            self._other = self._held.enter_context(releasing(context.device.allocate(self._nbytes)))

    def before(self, footprint: int) -> Callable[[], None] | None:
        """What to run before each sample of a walk through so much memory."""
        return self._run if self._is_used and footprint >= self._nbytes else None

    def _run(self) -> None:
        self._writer.fill(self._other.view(0, self._nbytes), self._nbytes // 8, 0, 0)

    def release(self) -> None:
        self._held.close()


def _point(
    chase: Chase,
    footprint: int,
    linked: VerificationResult,
    warm_up_steps: int,
    prepare: Callable[[], None] | None,
) -> Point:
    steps = 0
    if not linked.mismatches:
        chase.begin()
        each = chase.warm_up(warm_up_steps)
        steps = whole_steps(PASS_SECONDS / each)
    return Point(
        operations=[chase.steps(steps)],
        payload_bytes=0,
        bus_bytes=0,
        footprint_bytes=footprint,
        poison=chase.begin,
        prepare=prepare,
        verify=lambda: chase.result(steps),
        axes={"footprint_bytes": footprint, "order": chase.order},
        accesses=steps,
        dependent=True,
        caches_wanted=True,
        accumulates=True,
    )


def _warm_up_steps(context: RunContext, chase: Chase, footprint: int) -> int:
    """Once through all nodes, or until what verifying the links left in the caches is evicted."""
    cache = context.device.info.last_level_cache_bytes or MIN_LARGEST_BYTES
    if footprint > WARM_UP_CACHE_MULTIPLE * cache:
        return 0
    return min(chase.nodes, cache * chase.nodes // footprint)


def findings(
    info: DeviceInfo, benchmark: str, curves: Mapping[Order, Sequence[CurvePoint]]
) -> Iterator[Finding]:
    """The levels, and the latency of memory far beyond the caches.

    Within one page both orders are the same walk; beyond it the paged one shows the caches alone. But a
    processor that fetches lines in pairs finds some of a page's lines in a cache: "memory" is of the walk
    at random over all, which also pays for the translation of addresses.
    """
    random, paged = curves.get("random", []), curves.get("paged", [])
    within = [each for each in random if not paged or each.footprint_bytes < paged[0].footprint_bytes]
    cache_bytes, known = info.last_level_cache_bytes, known_caches(info, together=False)
    for each in level_findings(benchmark, "", [*within, *paged], known, cache_bytes, _figure):
        if paged and each.name == "memory":
            text = f"{each.text}, page by page, with few address translations"
            each = structs.replace(each, name="memory_paged", text=text)
        yield each
    beyond = [each for each in random if each.footprint_bytes >= memory_from_bytes(cache_bytes)]
    if paged and beyond:
        value, unit, words = figure_of(beyond, _figure)
        words += memory_proviso(cache_bytes)
        text = f"memory: {words}, at random over the whole footprint, with address translations"
        yield Finding(benchmark, "memory", text, value, unit)


def _figure(latency_seconds: float) -> tuple[float, str, str]:
    return latency_seconds, "s", format_seconds(latency_seconds)
