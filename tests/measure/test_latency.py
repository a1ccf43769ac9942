"""Walks from pointer to pointer: one single cycle, walked to its end, and every fault in it found."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest

from gpubench.benchmarks.latency.benchmark import findings
from gpubench.benchmarks.latency.chase import Chase, Order
from gpubench.devices.base import Device, Launch, Operation
from gpubench.measure.levels import CurvePoint, ladder
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.run_context import RunContext
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.results.document import Measurement
from tests.measure.conftest import MIB, Collected, Measure, run_on

KIB = 1 << 10
LINE = 64


@pytest.fixture
def context(device: Device) -> Iterator[RunContext]:
    made = RunContext(device)
    yield made
    made.arena.release()


def linked(context: RunContext, nbytes: int, order: Order, page_bytes: int = 0) -> list[tuple[int, int]]:
    """Each node's (address of the next, number in the walk), as they lie in memory."""
    [segment] = context.arena.cut(MIB, 1, 8, LINE)
    chase = Chase(context, segment.arrays[0], nbytes, line_bytes=LINE, order=order, page_bytes=page_bytes)
    reports = MismatchReports(context.device)
    assert chase.link(reports).mismatches == 0
    words = context.device.read_words(segment.arrays[0], nbytes // 8, 8)
    chase.release()
    reports.release()
    first = {"random": 0, "paged": 2}[order]
    return list(zip(words[first :: LINE // 8], words[first + 1 :: LINE // 8], strict=True))


@pytest.mark.parametrize(
    ("nodes", "order", "page_bytes"),
    [
        (1, "random", 0),
        (2, "random", 0),
        (3, "random", 0),
        (64, "random", 0),
        (1000, "random", 0),
        (12288, "random", 0),
        (64, "paged", 4096),
        (1024, "paged", 4096),
        (1000, "paged", 4096),  # the last page is not whole
        (12288, "paged", 65536),
    ],
)
def test_all_nodes_are_one_cycle(context: RunContext, nodes: int, order: Order, page_bytes: int) -> None:
    """Walked by hand, by the addresses alone: every node once, and then the first one again."""
    table = linked(context, nodes * LINE, order, page_bytes)
    lowest = min(address for address, _ in table)
    at, seen = 0, []
    for _ in range(nodes):
        seen.append(at)
        offset = table[at][0] - lowest
        assert offset % LINE == 0
        at = offset // LINE
    assert at == 0
    assert sorted(seen) == list(range(nodes))
    assert [(table[each][1] - table[0][1]) % nodes for each in seen] == list(range(nodes))


def test_a_random_order_visits_all_and_a_paged_one_page_by_page(context: RunContext) -> None:
    nodes, page_nodes = 8192, 64
    lines: dict[Order, list[int]] = {}
    orders: tuple[Order, ...] = ("random", "paged")
    for order in orders:
        table = linked(context, nodes * LINE, order, page_nodes * LINE)
        lines[order] = sorted(range(nodes), key=lambda node, t=table: t[node][1])  # type: ignore[misc]
    steps = {order: [abs(b - a) for a, b in itertools.pairwise(each)] for order, each in lines.items()}
    assert sum(step > page_nodes for step in steps["random"]) > 0.9 * nodes
    assert max(steps["paged"]) < 2 * page_nodes
    assert [node // page_nodes for node in lines["paged"]] == [k // page_nodes for k in range(nodes)]
    # No step is so frequent that hardware could learn it.
    for each in steps.values():
        assert max(each.count(step) for step in set(each)) < 0.1 * nodes


def test_the_order_is_made_from_the_seed(context: RunContext) -> None:
    [segment] = context.arena.cut(MIB, 1, 8, LINE)
    reports = MismatchReports(context.device)
    numbers = []
    for seed in (1, 2, 1):
        chase = Chase(context, segment.arrays[0], 64 * KIB, line_bytes=LINE, seed=seed)
        assert chase.link(reports).mismatches == 0
        numbers.append(context.device.read_words(segment.arrays[0], 8192, 8)[1::8])
        chase.release()
    reports.release()
    assert numbers[0] == numbers[2] != numbers[1]


def test_a_walk_ends_where_its_steps_lead_and_goes_on_from_there(context: RunContext) -> None:
    [segment] = context.arena.cut(MIB, 1, 8, LINE)
    chase, reports = Chase(context, segment.arrays[0], 6144, line_bytes=LINE), MismatchReports(context.device)
    chase.link(reports)
    chase.begin()
    assert chase.result(16).mismatches == 1  # nothing was walked
    for _ in range(9):
        context.device.run([chase.steps(32)])
        assert chase.result(32).mismatches == 0
    assert chase.result(64).mismatches == 1  # 288 steps are no whole number of launches
    chase.begin()
    context.device.run([chase.steps(96)])
    assert context.device.read_words(chase.state, 2, 8)[1] == 96
    assert chase.result(96).mismatches == 0
    chase.release()
    reports.release()


def test_a_walk_continues_where_it_stopped_not_in_cached_nodes(context: RunContext) -> None:
    [segment] = context.arena.cut(MIB, 1, 8, LINE)
    chase, reports = Chase(context, segment.arrays[0], 6144, line_bytes=LINE), MismatchReports(context.device)
    chase.link(reports)
    places = []
    for _ in range(4):
        chase.begin()
        places.append(context.device.read_words(chase.state, 1, 8)[0])
        context.device.run([chase.steps(48)])
        assert chase.walked() == 48 and chase.result(48).mismatches == 0
    assert places[0] == places[2] != places[1] == places[3]  # 48 are half of a lap
    chase.release()
    reports.release()


def latency(measurement: Measurement) -> float:
    assert measurement.latency_seconds
    return measurement.latency_seconds.median


def test_the_curve(measure: Measure, device: Device) -> None:
    _, told = measure("latency", time_limit_seconds=0.01, page_bytes=4096)
    points = [(m.axes["footprint_bytes"], m.axes["order"]) for m in told.measurements]
    assert points[:4] == [(4096, "random"), (6144, "random"), (6144, "paged"), (8192, "random")]
    assert points[-2:] == [(8 * MIB, "random"), (8 * MIB, "paged")]
    for m in told.measurements:
        assert (m.status, m.verified, m.quantity, m.unit) == ("ok", True, "latency", "s"), m
        assert m.accesses and m.accesses % 16 == 0
        assert latency(m) == pytest.approx(
            sorted(m.samples_seconds)[len(m.samples_seconds) // 2] / m.accesses, 0.5
        )
        assert m.bandwidth_bytes_per_second is None
        assert m.footprint_bytes == m.axes["footprint_bytes"]
        assert not {"cached_footprint", "cache_unknown"} & set(m.flags)
    ratios = [p.done_ratio for p in told.heard]
    assert ratios == sorted(ratios) and ratios[-1] <= 1
    curves: dict[Order, list[CurvePoint]] = {"random": [], "paged": []}
    for m in told.measurements:
        if m.footprint_bytes and m.latency_seconds:
            order: Order = "paged" if m.axes["order"] == "paged" else "random"
            point = CurvePoint(m.footprint_bytes, m.latency_seconds.p5, m.latency_seconds.median)
            curves[order].append(point)
    assert told.findings == list(findings(device.info, "latency", curves))
    assert any(each.unit == "s" for each in told.findings)


def test_one_order_lines_and_the_largest_footprint_as_asked(measure: Measure) -> None:
    _, told = measure(
        "latency",
        footprint_bytes=MIB,
        time_limit_seconds=0.005,
        order="paged",
        page_bytes=65536,
        line_bytes=256,
    )
    footprints = [m.axes["footprint_bytes"] for m in told.measurements]
    assert footprints[0] == 98304 and footprints[-1] == MIB  # within a page both orders are one
    assert {m.axes["order"] for m in told.measurements} == {"paged"}
    assert {m.status for m in told.measurements} == {"ok"}


FAULTS = {
    "the walk is short of some steps": (
        "walk.cl",
        "for (u64 step = 0; step < steps; step += STEPS",
        "for (u64 step = 16; step < steps; step += STEPS",
    ),
    "steps are counted and not walked": ("walk.cl", "at = (GLOBAL const u64 *)LOAD_GLOBAL(at);", "at += 0;"),
    "a link skips a node": (
        "latency.cl",
        "WORDS_OF(node)[0] = (u64)WORDS_OF(PLACE(k + 1));",
        "WORDS_OF(node)[0] = (u64)WORDS_OF(PLACE((k + 2) % nodes));",
    ),
    "one node is left out": (
        "latency.cl",
        "const u64 k = step_at(node,",
        "if (node == 50) continue;\n        const u64 k = step_at(node,",
    ),
    "two cycles": (
        "latency.cl",
        "page_nodes, mask, shift, salt);\n        WORDS",
        "page_nodes, mask, shift, salt) & ~(u64)32;\n        WORDS",
    ),
    "the numbers are not those of the walk": (
        "latency.cl",
        "WORDS_OF(node)[1] = k;",
        "WORDS_OF(node)[1] = k ^ 1;",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(measure: Measure, fault: str) -> None:
    _, told = measure(
        "latency", faults=(FAULTS[fault],), footprint_bytes=MIB, time_limit_seconds=0.001, line_bytes=64
    )
    assert told.measurements
    for m in told.measurements:
        assert (m.status, m.verified) == ("unverified", False)
        assert m.mismatches and m.first_mismatches
        assert m.latency_seconds is None and m.samples_seconds == []
    assert told.findings == []


def test_a_wrong_order_does_not_stop_a_correct_one(measure: Measure) -> None:
    fault = ("latency.cl", "WORDS_OF(node)[1] = k;", "WORDS_OF(node)[1] = word ? k ^ 1 : k;")
    _, told = measure(
        "latency", faults=(fault,), footprint_bytes=MIB, time_limit_seconds=0.001, page_bytes=65536
    )
    for m in told.measurements:
        if m.axes["order"] == "random":
            assert (m.status, m.mismatches) == ("ok", 0)
        else:
            assert m.status == "unverified" and m.mismatches
    assert {m.axes["order"] for m in told.measurements} == {"random", "paged"}


def test_memory_latency_is_of_a_random_walk_far_above_the_caches(device: Device) -> None:
    """Not what a walk page by page does, whose lines a processor may fetch in pairs."""
    info = msgspec.structs.replace(device.info, last_level_cache_bytes=8 * MIB)
    sizes = ladder(4 * KIB, 64 * MIB)
    costs = [(size, 1e-9 if size <= 8 * MIB else 50e-9 if size < 24 * MIB else 100e-9) for size in sizes]
    random = [CurvePoint(size, 0.8 * cost, cost) for size, cost in costs]
    costs = [(size, 1e-9 if size <= 8 * MIB else 30e-9) for size in sizes if size > 2 * MIB]
    paged = [CurvePoint(size, 0.8 * cost, cost) for size, cost in costs]
    said = {each.name: each.value for each in findings(info, "latency", {"random": random, "paged": paged})}
    assert (said["memory"], said["memory_paged"]) == (pytest.approx(100e-9), pytest.approx(30e-9))
    within = {"random": random[:-4], "paged": paged[:-4]}  # up to two caches
    assert not {"memory", "memory_paged"} & {each.name for each in findings(info, "latency", within)}
    unknown = msgspec.structs.replace(info, last_level_cache_bytes=None)
    far = [CurvePoint(size, 100e-9, 100e-9) for size in ladder(96 * MIB, 1024 * MIB)]
    far_curves = {"random": [*random, *far], "paged": [*paged, *far]}
    texts = {each.name: each.text for each in findings(unknown, "latency", far_curves)}
    for name in ("memory", "memory_paged"):
        assert texts[name].startswith(
            "memory: 100 ns from 768 MiB to 1 GiB, if no cache is larger than 256 MiB, "
        )
    [alone] = [each for each in findings(info, "latency", {"random": random}) if each.name == "memory"]
    assert alone.value == pytest.approx(100e-9)


def test_other_memory_is_written_before_each_walk_on_a_gpu(
    open_as: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two walks in turns would find each other's lines in there."""
    gpu = open_as(kind="gpu", last_level_cache_bytes=MIB)
    run, letters = gpu.run, {"link_nodes": "l", "fill_words": "w", "chase": "c"}
    ran = ""

    def recorded(operations: Sequence[Operation]) -> float:
        nonlocal ran
        names = [each.kernel.function_name for each in operations if isinstance(each, Launch)]
        ran += "".join(letters.get(name, "") for name in names)
        return run(operations)

    monkeypatch.setattr(gpu, "run", recorded)
    for footprint, written in ((2 * MIB, False), (4 * MIB, True)):
        ran = ""
        finished, _ = run_on(gpu, "latency", footprint_bytes=footprint, time_limit_seconds=0.01)
        assert finished.error is None
        assert ("wc" in ran) == written
        # The walks between linking and the first writing are not timed.
        assert not re.search("w[^l]*cc", ran), ran


def test_cancel_is_heard_within_the_curve(measure: Measure) -> None:
    told = Collected(cancel_when=lambda c: len(c.measurements) == 3)
    finished, _ = measure("latency", reporter=told, time_limit_seconds=0.01)
    assert finished.cancelled
    assert len(told.measurements) == 3
    assert told.measurements[0].footprint_bytes == PAGE_BYTES
