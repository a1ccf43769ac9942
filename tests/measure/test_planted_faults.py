"""Verification earns its trust: every fault planted in a kernel is found, and costs the figure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpubench.devices.base import Launch
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import SampleSeries
from gpubench.measure.stop_decision import StopDecision
from tests.measure.conftest import PINNED, Measure

SKIP = "if (AT(u) != 4321) "

FAULTS = {
    "copy skips a vector": ("copy", "STORE(b + AT(u), x[u])", SKIP + "STORE(b + AT(u), x[u])"),
    "copy leaves out the last round": ("copy", "SMALLER(rounds * CHUNK", "SMALLER((rounds - 1) * CHUNK"),
    "copy writes a neighbour": ("copy", "STORE(b + AT(u), x[u])", "STORE(b + (AT(u) ^ 1), x[u])"),
    "scale by another constant": (
        "scale",
        "STORE(b + AT(u), q * x[u])",
        "STORE(b + AT(u), SPLAT(ELEMENT, (ELEMENT)3.0000005) * x[u])",
    ),
    "add forgets an operand": ("add", "STORE(c + AT(u), x[u] + y[u])", "STORE(c + AT(u), x[u] + x[u])"),
    "triad swaps its operands": ("triad", "x[u] + q * y[u]", "y[u] + q * x[u]"),
    "triad with another constant": (
        "triad",
        "x[u] + q * y[u]",
        "x[u] + SPLAT(ELEMENT, (ELEMENT)3.000001) * y[u]",
    ),
    "dot skips a vector": ("dot", "sum[u] += x[u] * y[u]", SKIP + "sum[u] += x[u] * y[u]"),
    "read skips a vector": ("read", "sum[u % READ_SUMS] += x[u];", SKIP + "sum[u % READ_SUMS] += x[u];"),
    "read reads one vector twice": (
        "read",
        "sum[u % READ_SUMS] += x[u];",
        "sum[u % READ_SUMS] += x[u]; if (i == 4000) sum[0] += x[0];",
    ),
    "write steps wrongly": (
        "write",
        "VECTOR_ELEMENTS) * COUNTER_STEP",
        "VECTOR_ELEMENTS) * (COUNTER_STEP + 2)",
    ),
    "write skips a vector": ("write", "STORE(a + AT(u), start", SKIP + "STORE(a + AT(u), start"),
    "a tile begins one chunk late": ("triad", "GROUP_ID * rounds * CHUNK", "(GROUP_ID * rounds + 1) * CHUNK"),
    "a grid leaves out its last round": ("copy", "round < rounds &&", "round + 1 < rounds &&"),
    "halves: both are the first": (
        "copy",
        "+ (u) / (UNROLL / 2) * half",
        "+ (u) / (UNROLL / 2) * (u64)0 * half",
    ),
    "halves: the second begins early": (
        "triad",
        "half_vectors = (count) / 2;",
        "half_vectors = (count) / 2 - 1;",
    ),
    "halves: both end a step early": (
        "read",
        "i < (first) + half_vectors;",
        "i + 4 < (first) + half_vectors;",
    ),
}

HALVES = {fault for fault in FAULTS if fault.startswith("halves")}
GRID = {"a grid leaves out its last round"}
IN_THE_WALK = {"copy leaves out the last round", "a tile begins one chunk late"} | HALVES | GRID


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(measure: Measure, fault: str, dtype: str) -> None:
    benchmark, old, new = FAULTS[fault]
    file = "walk.cl" if fault in IN_THE_WALK else "stream.cl"
    order = "halves" if fault in HALVES else "grid" if fault in GRID else "tile"
    _, told = measure(benchmark, faults=((file, old, new),), dtype=dtype, **{**PINNED, "order": order})
    [m] = told.measurements
    assert (m.status, m.verified) == ("unverified", False)
    assert m.mismatches and m.mismatches > 0
    assert m.first_mismatches and m.first_mismatches[0].expected != m.first_mismatches[0].actual
    assert m.flags == ["unverified"]
    assert m.bandwidth_bytes_per_second is None
    assert m.samples_seconds == []


def test_the_first_mismatch_is_told_where_it_is(measure: Measure) -> None:
    """The vector that was skipped still holds the poison: all bits set."""
    fault = ("stream.cl", "STORE(b + AT(u), x[u])", SKIP + "STORE(b + AT(u), x[u])")
    _, told = measure("copy", faults=(fault,), **PINNED)
    [m] = told.measurements
    assert m.mismatches == 4  # a vector of 32 bytes holds four doubles
    assert [each.index for each in m.first_mismatches] == [4321 * 4 + lane for lane in range(4)]
    assert {each.actual for each in m.first_mismatches} == {"0xffffffffffffffff"}


def test_other_benchmarks_of_the_run_keep_their_figures(measure: Measure) -> None:
    fault = ("stream.cl", "STORE(b + AT(u), q * x[u])", "STORE(b + AT(u), x[u])")
    _, told = measure("copy", "scale", "add", faults=(fault,), **PINNED)
    assert [m.status for m in told.measurements] == ["ok", "unverified", "ok"]


@pytest.mark.parametrize("benchmark", ["copy", "write", "read", "dot", "mix", "strided", "update", "map"])
def test_incomplete_timed_passes_after_the_first_are_detected(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, benchmark: str
) -> None:
    """What they leave behind together is right. A busy host may end a series before the second pass."""
    take = SampleSeries.take_sample

    def half(series: SampleSeries, context: RunContext) -> None:
        operations = series.point.operations
        fewer = [replace(each, groups=each.groups // 2) for each in operations if isinstance(each, Launch)]
        if series.samples_seconds:
            series.point = replace(series.point, operations=fewer)
        take(series, context)
        series.point = replace(series.point, operations=operations)

    monkeypatch.setattr(SampleSeries, "take_sample", half)
    pins = PINNED if benchmark in ("copy", "write", "read", "dot", "map") else {}
    _, told = measure(benchmark, **pins)
    with_a_fault = [m for m in told.measurements if m.status != "ok" or len(m.samples_seconds) > 1]
    assert {m.status for m in with_a_fault} == {"unverified"}


def test_timed_passes_that_do_nothing_are_found(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right first pass must not stand for later ones: the result is poisoned again before them."""

    def nothing(series: SampleSeries, context: object) -> None:
        series.samples_seconds.append(0.001)
        series.decision = StopDecision("count_reached", {"samples": 0})

    monkeypatch.setattr(SampleSeries, "take_sample", nothing)
    for benchmark in ("copy", "write", "read", "dot"):
        _, told = measure(benchmark, **PINNED)
        [m] = told.measurements
        assert (m.benchmark, m.status) == (benchmark, "unverified")
        assert m.bandwidth_bytes_per_second is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x ^ (x >> 16);", "return 0;"),
        ("return x ^ (x >> 16);", "return x;"),
        ("mix((u32)(index >> 32) ^ salt)", "mix(salt)"),
        ("(word_at(index, salt) >> 12)", "0"),
        ("(WORD)index * COUNTER_STEP", "0"),
        ("FOLDED(counter);", "counter;"),
    ],
)
def test_other_data_than_the_hosts_are_found(measure: Measure, old: str, new: str) -> None:
    """Kernels and checks would agree about them, also about constant ones, which show no skipped work."""
    _, told = measure("copy", "write", faults=(("data.cl", old, new),), **PINNED)
    assert [(m.status, m.bandwidth_bytes_per_second) for m in told.measurements] == [("failed", None)] * 2
    assert all("values differently from the host" in (m.reason or "") for m in told.measurements)


def test_data_are_proved_in_both_widths(measure: Measure) -> None:
    """Whatever is asked for: some kernels take words of 32 bits."""
    _, told = measure("gather", faults=(("data.cl", "return hash(index, salt);", "return 0;"),))
    assert {m.status for m in told.measurements} == {"failed"}


@pytest.mark.parametrize("benchmark", ["copy", "read"])
def test_samples_after_the_checked_one_that_do_nothing_are_found(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, benchmark: str
) -> None:
    take = SampleSeries.take_sample

    def twice(series: SampleSeries, context: RunContext) -> None:
        if len(series.samples_seconds) < 2:
            take(series, context)
            return
        series.samples_seconds.append(0.001)
        series.decision = (
            StopDecision("count_reached", {"samples": 0}) if len(series.samples_seconds) > 20 else None
        )

    monkeypatch.setattr(SampleSeries, "take_sample", twice)
    _, told = measure(benchmark, stop="count", samples=30, **PINNED)
    assert [m.status for m in told.measurements] == ["unverified"]
