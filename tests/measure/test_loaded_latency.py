"""A walk beside readers: both verified, the bytes of each sample counted by those who read them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import pytest

from gpubench.benchmarks.latency.chase import Chase
from gpubench.benchmarks.loaded_latency import benchmark, readers
from gpubench.benchmarks.loaded_latency.benchmark import findings
from gpubench.benchmarks.loaded_latency.readers import Readers
from gpubench.devices.base import Device
from gpubench.kernels.source import read_source
from gpubench.measure.run_context import RunContext
from gpubench.measure.statistics import median
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.results.document import Measurement, Summary
from tests.measure.conftest import MIB, Measure, run_on
from tests.simulated import PROCESSOR, SimulatedDevice

CHUNK_BYTES = 16384
READ_IDLE = 4
"""As in loaded.cl."""


@dataclass
class Beside:
    """A walk and its readers in 1 MiB each, ready to be launched; ``faults`` as in a session."""

    device: Device
    faults: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        context = RunContext(self.device, None, self.read)
        [segment] = context.arena.cut(2 * MIB, 2, 8, 64)
        self.arena, self.reports = context.arena, MismatchReports(self.device)
        self.chase = Chase(context, segment.arrays[0], MIB, line_bytes=64)
        self.readers = Readers(context, self.chase, segment.arrays[1], MIB, seed=1)
        assert self.chase.link(self.reports).mismatches == 0
        self.chase.begin()
        self.readers.begin()

    def read(self, name: str) -> str:
        text = read_source(name)
        for old, new in self.faults if name == "loaded.cl" else ():
            assert text.count(old) == 1
            text = text.replace(old, new)
        return text

    def walk(self, nbytes: int) -> None:
        """Until the readers read so much: a busy host may come to them late."""
        enough = self.readers.read_bytes() + nbytes
        for _ in range(1000):
            self.device.run([self.readers.launch(STEPS, 0)])
            if self.readers.read_bytes() >= enough:
                return
        raise AssertionError("nothing was read beside 1000 walks")

    def release(self) -> None:
        for each in (self.readers, self.chase, self.reports, self.arena):
            each.release()


STEPS = 48016


@pytest.fixture
def beside(device: Device) -> Iterator[Callable[..., Beside]]:
    made: list[Beside] = []

    def make(*faults: tuple[str, str]) -> Beside:
        made.append(Beside(device, faults))
        return made[-1]

    yield make
    for each in made:
        each.release()


@pytest.mark.timing
def test_every_load_has_a_latency_and_a_bandwidth(measure: Measure) -> None:
    _, told = measure("loaded_latency", loads=3)
    assert [m.axes for m in told.measurements] == [{"load_percent": load} for load in (0, 50, 100)]
    for m in told.measurements:
        assert (m.status, m.verified, m.quantity) == ("ok", True, "latency"), m
        assert m.latency_seconds and m.bandwidth_bytes_per_second and m.accesses and m.bus_bytes
        assert m.latency_seconds.median == pytest.approx(median(m.samples_seconds) / m.accesses)
        assert m.bandwidth_bytes_per_second.low <= m.bandwidth_bytes_per_second.high
        walked = m.accesses * 64
        read_bytes = m.bus_bytes - walked
        # The median of two lies halfway between them.
        assert read_bytes % (CHUNK_BYTES // 2) == 0 and (read_bytes == 0 or m.axes["load_percent"])
    assert {"idle_latency", "loaded_latency"} <= {each.name for each in told.findings}


def test_readers_go_on_for_longer_than_a_busy_host_delays_a_walk(beside: Callable[..., Beside]) -> None:
    """In the trial they end at a limit long before the walk does, which says nothing of how fast they are."""
    readers = beside().readers
    chunk_seconds, _ = readers.calibrate(STEPS)
    assert readers._limit * chunk_seconds == pytest.approx(1.0, rel=0.01)


def test_a_cancel_is_heard_while_memory_is_filled(
    beside: Callable[..., Beside],
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    change_profile: Callable[..., None],
) -> None:
    """Between parts, here of four chunks."""
    change_profile(untimed_launch_bytes=4 * CHUNK_BYTES)
    runs, run = [], device.run
    monkeypatch.setattr(device, "run", lambda operations: runs.append(len(operations)) or run(operations))
    both = beside()
    assert len(runs) >= 2 * MIB // (4 * CHUNK_BYTES) and max(runs) == 1
    both.walk(2 * MIB)
    assert both.readers.result(both.reports).mismatches == 0


def test_readers_go_on_where_they_were_and_sum_what_they_count(beside: Callable[..., Beside]) -> None:
    both = beside()
    for _ in range(4):
        both.walk(5 * CHUNK_BYTES)
        assert both.readers.result(both.reports).mismatches == 0
        assert both.chase.result(STEPS).mismatches == 0
    both.walk(3 * MIB)  # more than once round
    assert both.readers.result(both.reports).mismatches == 0
    before = both.readers.read_bytes()
    both.device.run([both.readers.launch(STEPS, 0, reading=False)])
    assert both.readers.read_bytes() == before
    both.readers.begin()
    assert both.readers.read_bytes() == 0


def mixed(x: int) -> int:
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * 0x846CA68B % 2**32
    return x ^ x >> 16


def test_readers_idle_as_long_as_they_are_told(beside: Callable[..., Beside]) -> None:
    """Every turn is a step of a mixer: idling that a compiler leaves out ends at another number."""
    both, turns = beside(), 5
    for _ in range(1000):
        both.readers.begin()
        both.device.run([both.readers.launch(STEPS, turns)])
        if chunks := both.readers.read_bytes() // CHUNK_BYTES:
            break
    expected = 1
    for _ in range(chunks * turns):
        expected = mixed(expected)
    assert both.readers._words(READ_IDLE) == [expected]


def test_readers_end_with_the_walk_even_while_they_idle(beside: Callable[..., Beside]) -> None:
    """After so many turns at most, the idling of one chunk was not brought to its end."""
    both, delay, most = beside(), 100_000_000, 4_000_000
    idle = 0
    for _ in range(1000):
        both.readers.begin()
        both.device.run([both.readers.launch(STEPS, delay)])
        if both.readers.read_bytes():
            [idle] = both.readers._words(READ_IDLE)
            break
    assert idle in itertools.accumulate(range(most), lambda x, _: mixed(x), initial=1)
    assert both.readers.result(both.reports).mismatches == 0


FAULTS = {
    "a chunk is counted twice": (
        "own[READ_CHUNKS] = before + done;",
        "own[READ_CHUNKS] = before + done + (done > 0);",
    ),
    "a vector is left out": (
        "EACH_UNROLLED sum[u] += x[u];",
        "EACH_UNROLLED if (i % 4096 != 64) sum[u] += x[u];",
    ),
    "readers begin at the first chunk again": ("chunk = before % chunks;", "chunk = 0;"),
    "readers read nothing": ("x[u] = memory[AT(u)];", "x[u] = SPLAT(WORD, (WORD)7);"),
    "a reader reads another's slice": ("(reader * chunks + chunk)", "(reader * chunks + chunk / 2)"),
    "the walk is short": (
        "(GLOBAL const u64 *)state[0], steps);",
        "(GLOBAL const u64 *)state[0], steps - 16);",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(beside: Callable[..., Beside], fault: str) -> None:
    both = beside(FAULTS[fault])
    both.walk(MIB // 2)
    both.walk(MIB)
    walk, sums = both.chase.result(STEPS), both.readers.result(both.reports)
    assert walk.mismatches + sums.mismatches > 0
    assert walk.first or sums.first


def test_a_fault_costs_the_figure(measure: Measure) -> None:
    short = (
        "loaded.cl",
        "(GLOBAL const u64 *)state[0], steps);",
        "(GLOBAL const u64 *)state[0], steps - 16);",
    )
    _, told = measure("loaded_latency", faults=(short,), loads=2, footprint_bytes=2 * MIB)
    for m in told.measurements:
        assert (m.status, m.verified, m.latency_seconds) == ("unverified", False, None)
        assert m.mismatches and m.first_mismatches


def test_nodes_that_are_no_cycle_are_not_walked(measure: Measure) -> None:
    fault = ("latency.cl", "WORDS_OF(node)[1] = k;", "WORDS_OF(node)[1] = k ^ 1;")
    _, told = measure("loaded_latency", faults=(fault,), loads=2)
    assert {m.status for m in told.measurements} == {"unverified"}
    assert told.findings == []


def test_one_core_is_skipped(simulated: SimulatedDevice) -> None:
    simulated.info = msgspec.structs.replace(PROCESSOR, compute_units=1)
    _, told = run_on(simulated, "loaded_latency", footprint_bytes=MIB)
    [m] = told.measurements
    assert (m.status, m.reason) == ("skipped", "one core cannot follow pointers and read at the same time")


def test_groups_that_do_not_run_beside_each_other_are_skipped(measure: Measure) -> None:
    """As where one core runs all groups in turn: the walk is over before the readers begin."""
    late = ("loaded.cl", "== (u32)launch;", "== (u32)launch + 7;")
    _, told = measure("loaded_latency", faults=(late,))
    [m] = told.measurements
    assert m.status == "skipped"
    assert "does not run its groups at the same time" in (m.reason or "")


def test_a_walk_that_never_begins_holds_nobody(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers end at their limit, and the run with them; who read beside no walk has no figure."""
    monkeypatch.setattr(readers, "_MOST_SECONDS", 0.05)
    stuck = ("loaded.cl", "ATOMIC_ADD(ended, 1u);", "")
    _, told = measure("loaded_latency", faults=(stuck,), loads=2, time_limit_seconds=0.001)
    assert [m.status for m in told.measurements] == ["ok", "unverified"]
    assert told.measurements[1].reason == "1 ends of readers are wrong"


def point(load: int, latency: float, bandwidth: float, noise: float = 0.01) -> Measurement:
    """With an interval of the latency that reaches ``noise`` of it to either side."""
    low, high = latency * (1 - noise), latency * (1 + noise)
    return Measurement(
        "loaded_latency",
        {},
        "ok",
        axes={"load_percent": load},
        latency_seconds=Summary(latency, low, high, low, high, low, high),
        bandwidth_bytes_per_second=Summary(*[bandwidth] * 7),
    )


def test_what_the_points_say_together() -> None:
    curve = [point(0, 1e-7, 1e9), point(50, 1.2e-7, 10e9), point(80, 1.6e-7, 16e9), point(100, 4e-7, 20e9)]
    said = {each.name: each.value for each in findings("loaded_latency", curve)}
    assert said == {"idle_latency": 1e-7, "loaded_latency": 4e-7, "waiting_bandwidth": 16e9}
    assert list(findings("loaded_latency", curve[:1])) == []
    assert [each.name for each in findings("loaded_latency", curve[:2])] == ["idle_latency", "loaded_latency"]


def test_without_an_idle_point_nothing_is_told_as_idle() -> None:
    idle, *loaded = point(0, 1e-7, 1e9), point(10, 1.1e-7, 2e9), point(100, 4e-7, 20e9)
    wrong = Measurement("loaded_latency", {}, "unverified", axes=idle.axes)
    assert list(findings("loaded_latency", [wrong, *loaded])) == []


def test_the_loaded_point_is_that_of_the_highest_load() -> None:
    """Beyond what the memory bears, more load may move less."""
    curve = [point(0, 1e-7, 1e9), point(90, 3e-7, 20e9), point(100, 4e-7, 19e9)]
    said = {each.name: each for each in findings("loaded_latency", curve)}
    assert said["loaded_latency"].text == "at 19.00 GB/s: 400 ns, 4.00x of idle"
    assert said["waiting_bandwidth"].text == "the latency passes 1.50x of idle at 20.00 GB/s or less"


@pytest.mark.parametrize(
    ("latency", "noise", "against"),
    [
        (1.15e-7, 0.1, "no measurable difference from idle (at most 1.41x)"),
        (1.09e-7, 0.01, "1.09x of idle"),
        (0.9e-7, 0.01, "0.900x of idle"),
        (0.9e-7, 0.1, "no measurable difference from idle (at most 1.10x)"),
    ],
)
def test_a_difference_within_the_noise_is_a_bound(latency: float, noise: float, against: str) -> None:
    """The last would be 0.900x of idle: faster under load, by chance."""
    curve = [point(0, 1e-7, 1e9, noise), point(100, latency, 20e9, noise)]
    found = {each.name: each for each in findings("loaded_latency", curve)}
    assert found["loaded_latency"].text == f"at 20.00 GB/s: {latency * 1e9:.3g} ns, {against}"


def test_a_noisy_median_above_the_bound_is_no_waiting() -> None:
    """Only of the last two the lower end is clear of 1.5 times the idle latency's upper end."""
    curve = [
        point(0, 1e-7, 1e9, 0.1),
        point(50, 1.9e-7, 10e9, 0.3),
        point(60, 1.6e-7, 12e9, 0.01),
        point(80, 1.7e-7, 16e9, 0.01),
        point(100, 4e-7, 20e9, 0.1),
    ]
    said = {each.name: each.value for each in findings("loaded_latency", curve)}
    assert said["waiting_bandwidth"] == 16e9
    said = {each.name: each.value for each in findings("loaded_latency", curve[:2])}
    assert "waiting_bandwidth" not in said


UNTIL_THE_READER_ENDS = (
    "for (u64 turn = 0; turn < 4000000000ul; ++turn) "
    "if (ATOMIC_ADD((GLOBAL u32 *)(groups + READ_LAUNCHES), 0u)) break; "
)


@pytest.mark.parametrize(("unit", "limit", "ends_by_itself"), [("0", 1 << 30, True), ("GROUP_ID", 3, False)])
def test_a_walk_alone_shares_no_multiprocessor(
    beside: Callable[..., Beside], unit: str, limit: int, ends_by_itself: bool
) -> None:
    """Here each group says where it runs, all on one or each on its own, and the walk waits for a reader. It
    ends by itself if it is on the walk's, and else at its limit."""
    walk = "state[0] = (u64)follow("
    both = beside((walk, UNTIL_THE_READER_ENDS + walk), ("MOST_UNITS + UNIT_ID", f"MOST_UNITS + (u32){unit}"))
    both.readers._limit = limit
    both.device.run([both.readers.launch(STEPS, 0, alone=True)])
    assert both.readers.newly_cut() == (0 if ends_by_itself else both.readers.count)
    assert both.readers.result(both.reports).mismatches == 0
    assert both.chase.result(STEPS).mismatches == 0


def test_both_kinds_of_walk_are_points_and_told_apart(
    monkeypatch: pytest.MonkeyPatch, measure: Measure
) -> None:
    """Of a device whose kernels know where they run."""
    monkeypatch.setattr(benchmark, "tells_units", lambda info: True)
    _, told = measure("loaded_latency", loads=2, time_limit_seconds=0.001)
    assert [(m.axes["load_percent"], m.axes["walker"]) for m in told.measurements] == [
        (load, walker) for load in (0, 100) for walker in ("alone", "beside readers")
    ]
    assert all(m.verified for m in told.measurements)


def test_what_is_told_of_each_kind_of_walk() -> None:
    def of(walker: str, *points: Measurement) -> list[Measurement]:
        return [msgspec.structs.replace(each, axes={**each.axes, "walker": walker}) for each in points]

    curve = of("alone", point(0, 1e-7, 1e9), point(100, 3e-7, 20e9))
    curve += of("beside readers", point(0, 1e-7, 1e9), point(100, 5e-7, 20e9))
    said = {each.name: each for each in findings("loaded_latency", curve)}
    assert (said["loaded_latency"].value, said["loaded_latency_beside_readers"].value) == (3e-7, 5e-7)
    assert said["loaded_latency_beside_readers"].text.startswith(
        "readers on its multiprocessor: at 20.00 GB/s"
    )
