"""The map: slices that are equal, each verified; slow ones and wrong ones are found."""

from __future__ import annotations

import msgspec
import pytest

from gpubench.benchmarks.memory_map import CACHE_MULTIPLE, findings, slices_of
from gpubench.benchmarks.plan import plan
from gpubench.devices import host
from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.errors import InvalidParameters
from gpubench.measure import run_context
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement, Summary
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import GPU_PINNED, MIB, PINNED, Collected, Measure, run_on
from tests.simulated import GPU, PROCESSOR, SimulatedAllocation, SimulatedDevice, Work

PAGE = 4096


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "COLD_LIMIT_SECONDS", 0.05)


def names(told: Collected) -> list[str]:
    return [f.name for f in told.findings]


@pytest.mark.parametrize(("kernel", "moved"), [("read", 1), ("write", 1), ("copy", 2 / 2), ("triad", 3 / 3)])
def test_slices_are_equal_and_verified_and_cover_what_was_taken(
    measure: Measure, kernel: str, moved: float
) -> None:
    _, told = measure("map", slices=16, kernel=kernel, rounds=5, **PINNED)
    slices = told.measurements
    assert [m.axes for m in slices] == [{"slice": number} for number in range(len(slices))]
    assert 16 - 1 <= len(slices) <= 16
    size = int(slices[1].places["offset_bytes"])
    assert [m.places["offset_bytes"] for m in slices] == [k * size for k in range(len(slices))]
    for m in slices:
        assert (m.status, m.verified, m.mismatches) == ("ok", True, 0), m
        assert m.footprint_bytes == len(slices) * size > 7 * MIB
        assert m.bus_bytes and size * moved <= m.bus_bytes < size * moved + PAGE
        assert m.passes_per_sample == 1
        assert len(m.samples_seconds) == 5 or m.stop_code == "time_limit"
    assert {"slow_regions", "slowest_slice", "covered_memory", "sweep_time"} <= set(names(told))


def test_slices_lie_in_several_allocations(simulated: SimulatedDevice) -> None:
    """Those of 512 KiB that fit into 3, 3 and 2 MiB."""
    simulated.info = msgspec.structs.replace(PROCESSOR, max_allocation_bytes=3 * MIB)
    _, told = run_on(simulated, "map", slices=16, **GPU_PINNED)
    assert {m.status for m in told.measurements} == {"ok"}
    assert [m.footprint_bytes for m in told.measurements] == [8 * MIB] * 16


def test_slices_much_larger_than_the_caches_get_several_passes(simulated: SimulatedDevice) -> None:
    """On a GPU for 5 ms; what all memory takes is that of one pass."""
    simulated.info = msgspec.structs.replace(GPU, last_level_cache_bytes=CACHE_MULTIPLE << 10)
    simulated.pace = lambda work: 500e6
    _, told = run_on(simulated, "map", slices=8, rounds=3, footprint_bytes=4 * MIB, **GPU_PINNED)
    assert {(m.status, m.passes_per_sample) for m in told.measurements} == {("ok", 5)}
    assert all(seconds == pytest.approx(5 * MIB / 2 / 500e6, rel=1e-3) for seconds in samples(told))
    [sweep] = [f.value for f in told.findings if f.name == "sweep_time"]
    assert sweep == pytest.approx(16 * MIB / 500e6, rel=1e-3)


def samples(told: Collected) -> list[float]:
    return [seconds for m in told.measurements for seconds in m.samples_seconds]


def test_slices_that_caches_could_hold_are_passed_once(simulated: SimulatedDevice) -> None:
    """And each after another one, which drives it out of them."""
    simulated.info = PROCESSOR
    simulated.pace = lambda work: 500e6
    _, told = run_on(simulated, "map", slices=8, rounds=3, footprint_bytes=4 * MIB, **GPU_PINNED)
    assert {(m.status, m.passes_per_sample) for m in told.measurements} == {("ok", 1)}


def test_all_slices_share_their_places_for_reports(simulated: SimulatedDevice) -> None:
    counted = Counting(PROCESSOR, simulated.clock)
    _, told = run_on(counted, "map", slices=16, rounds=3, footprint_bytes=4 * MIB, **GPU_PINNED)
    assert len(told.measurements) == 16
    assert counted.asked < 8


class Counting(SimulatedDevice):
    asked = 0

    def allocate(self, nbytes: int) -> SimulatedAllocation:
        self.asked += 1
        return super().allocate(nbytes)


def test_the_share_of_free_memory_is_taken(simulated: SimulatedDevice) -> None:
    """Of a GPU nearly all, unless another share is asked for; of a processor a quarter."""
    found: dict[tuple[str, float | None], float] = {}
    for info in (GPU, PROCESSOR):
        for share in (None, 0.5):
            simulated.info = info
            asked = {"footprint_bytes": None, "memory_share_ratio": share, "rounds": 3}
            _, told = run_on(simulated, "map", slices=8, **asked, **GPU_PINNED)
            found[info.kind, share] = (told.measurements[0].footprint_bytes or 0) / (16 * MIB)
    assert found == pytest.approx(
        {("gpu", None): 0.9, ("gpu", 0.5): 0.5, ("cpu", None): 0.25, ("cpu", 0.5): 0.5}, rel=0.05
    )


def test_a_share_is_at_most_what_a_run_may_use(
    simulated: SimulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In WSL, Windows keeps a quarter of a GPU's memory."""
    monkeypatch.setattr(host, "is_wsl", lambda: True)
    simulated.info = GPU
    asked = {"footprint_bytes": None, "memory_share_ratio": MAX_MEMORY_SHARE_RATIO, "rounds": 3}
    _, told = run_on(simulated, "map", slices=8, **asked, **GPU_PINNED)
    assert (told.measurements[0].footprint_bytes or 0) / (16 * MIB) == pytest.approx(0.75, rel=0.05)


def test_a_share_beyond_what_any_run_may_use_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="memory_share_ratio"):
        plan([BenchmarkRequest("map", {"memory_share_ratio": MAX_MEMORY_SHARE_RATIO + 0.01})])


def test_a_slice_whose_data_are_wrong_has_no_figure(measure: Measure) -> None:
    """The counters of one slice only: the others keep their figures."""
    store = "EACH_UNROLLED STORE(a + AT(u), start"
    wrong = store.replace("STORE(", "if (first != 131072 || AT(u) != 99) STORE(")
    faults = (("stream.cl", store, wrong),)
    _, told = measure("map", kernel="write", slices=8, faults=faults, **PINNED)
    assert [m.status for m in told.measurements] == ["ok", "unverified", *["ok"] * 6]
    [m] = [m for m in told.measurements if m.status == "unverified"]
    assert m.mismatches == 4
    assert m.first_mismatches[0].index == 131072 + 99 * 4
    assert "slow_regions" in names(told)


def test_a_kernel_that_is_wrong_everywhere_finds_nothing(measure: Measure) -> None:
    faults = (("stream.cl", "sum[u % READ_SUMS] += x[u];", "if (AT(u) != 99) sum[u % READ_SUMS] += x[u];"),)
    _, told = measure("map", slices=8, faults=faults, **PINNED)
    assert {m.status for m in told.measurements} == {"unverified"}
    assert told.findings == []


def test_a_region_that_is_slow_is_found(simulated: SimulatedDevice) -> None:
    """Two slices of eight, at 40 % of the pace of the others."""

    def pace(work: Work) -> float:
        begins = [buffer.offset_bytes for buffer in work.buffers if buffer.nbytes == MIB // 2]
        return 40e6 if begins and 3 * MIB // 2 <= begins[0] < 5 * MIB // 2 else 100e6

    simulated.info, simulated.pace = PROCESSOR, pace
    _, told = run_on(
        simulated, "map", kernel="write", slices=8, rounds=3, footprint_bytes=4 * MIB, **GPU_PINNED
    )
    assert {m.status for m in told.measurements} == {"ok"}
    [slow] = [f for f in told.findings if f.name == "slow_region"]
    assert slow.value == pytest.approx(0.4)
    assert "slices 3 to 4, from 1.5 MiB to 2.5 MiB" in slow.text


def test_a_cancel_ends_it(measure: Measure) -> None:
    checks = 0

    def enough(_: Collected) -> bool:
        nonlocal checks
        checks += 1
        return checks > 30

    finished, told = measure("map", slices=64, reporter=Collected(cancel_when=enough), **PINNED)
    assert finished.cancelled
    assert checks == 31
    assert told.measurements == []


def slice_of(number: int, rate: float, best: float) -> Measurement:
    summary = Summary(rate, rate, best, rate, best, rate, best)
    return Measurement(
        "map",
        {},
        "ok",
        axes={"slice": number},
        places={"offset_bytes": number * MIB},
        samples_seconds=[MIB / rate],
        bandwidth_bytes_per_second=summary,
    )


def test_neighbours_form_a_region_and_a_fast_sample_clears_one() -> None:
    """One fast sample clears a slice."""
    rates = [100.0] * 32
    rates[7], rates[20:23], rates[31] = 50.0, [60.0, 70.0, 80.0], 25.0
    slices = [slice_of(k, rate, 100.0 if k == 7 else rate) for k, rate in enumerate(rates)]
    found = {f.text: f for f in findings("map", slices, MIB, 64 * MIB)}
    regions = [f for f in found.values() if f.name == "slow_region"]
    assert [f.value for f in regions] == [0.7, 0.25]
    assert "slices 20 to 22, from 20 MiB to 23 MiB" in regions[0].text
    assert "slices 31 to 31, from 31 MiB to 32 MiB" in regions[1].text
    values = {f.name: f.value for f in found.values()}
    assert values["slow_regions"] == 2
    assert values["slowest_slice"] == 0.25
    assert values["covered_memory"] == 0.5
    assert values["sweep_time"] == pytest.approx(2 * sum(MIB / rate for rate in rates))


@pytest.mark.parametrize(
    ("best", "text"),
    [
        (95.0, "the slowest slice reaches 72.0 % of the median slice, its best sample 95.0 %"),
        (
            118.5,
            "no slice is measurably slower than the median one: each has a sample of 100.0 % of it or more",
        ),
    ],
)
def test_a_slice_slower_within_the_noise_is_a_bound(best: float, text: str) -> None:
    """Some slice is the slowest in any memory."""
    slices = [slice_of(k, 72.0 if k == 3 else 100.0, best if k == 3 else 100.0) for k in range(8)]
    [found] = [f for f in findings("map", slices, MIB, None) if f.name == "slowest_slice"]
    assert found.value == 0.72
    assert found.text == text


@pytest.mark.parametrize(
    ("gibibytes", "slices"),
    [(126, 132), (60, 62), (36, 37), (1, 4), (0.5, 4)],
)
def test_gpu_slices_are_large_enough_for_samples_of_more_passes(gibibytes: float, slices: int) -> None:
    h200 = DeviceInfo("a", "a", "cuda", "gpu", "NVIDIA H200", "a", last_level_cache_bytes=60 * MIB)
    wanted, step = int(gibibytes * 1024 * MIB), 16 * MIB
    found = slices_of(h200, 256, wanted, step)
    assert found == slices
    assert found == 4 or wanted // found // step * step >= CACHE_MULTIPLE * 60 * MIB


def test_a_processors_slices_are_as_many_as_asked_for() -> None:
    epyc = DeviceInfo("a", "a", "opencl", "cpu", "EPYC", "a", last_level_cache_bytes=32 * MIB)
    assert slices_of(epyc, 256, 2048 * MIB, MIB) == 256
