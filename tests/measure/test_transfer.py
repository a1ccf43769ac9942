"""Transfers move what was sent, whole, and are found out where they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.transfer.benchmark import sizes
from gpubench.benchmarks.transfer.findings import flagged, half_size_bytes, link_findings
from gpubench.benchmarks.transfer.host import HostEnd
from gpubench.catalog.links import pcie_bytes_per_second
from gpubench.devices import numa
from gpubench.devices.base import Copy, Device, Together
from gpubench.devices.opencl import runtime
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import Programs
from gpubench.measure.memory import Arena, Segment
from gpubench.measure.verification.arrays import salt_of
from gpubench.measure.verification.host_data import differences, fill_elements
from gpubench.results.document import Measurement, Summary
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import MIB, Collected, Measure, run_on
from tests.simulated import GPU, SimulatedDevice, SimulatedHostMemory

DIRECTIONS = {
    ("host to device", "pinned"),
    ("device to host", "pinned"),
    ("both", "pinned"),
    ("host to device", "pageable"),
    ("device to host", "pageable"),
}
QUICK = {"footprint_bytes": 2 * MIB, "time_limit_seconds": 0.01}


def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def arrays(device: Device) -> Iterator[Segment]:
    """Two arrays of 1 MiB, the first filled by the device with the values of the seed 7."""
    arena = Arena(device)
    [segment] = arena.cut(2 * MIB, 2, 8, 4096)
    task = StreamTask(Programs(device), STREAM["copy"], "double", [segment], seed=7)
    task.fill()
    yield segment
    task.release()
    arena.release()


@pytest.fixture(params=[True, False], ids=["pinned", "pageable"])
def end(device: Device, request: pytest.FixtureRequest) -> Iterator[HostEnd]:
    made = HostEnd(device, MIB, pinned=request.param, raise_if_cancelled=nothing)
    yield made
    made.release()


def test_every_direction_memory_and_size_is_verified(measure: Measure) -> None:
    _, told = measure("transfer", **QUICK)
    curves: dict[tuple[object, object], list[object]] = defaultdict(list)
    for m in told.measurements:
        if m.status == "skipped":
            assert m.axes == {"direction": "both", "memory": "pageable"}
            assert "busy" in (m.reason or "")
            continue
        assert (m.status, m.verified, m.mismatches) == ("ok", True, 0), m
        curves[m.axes["direction"], m.axes["memory"]].append(m.axes["size_bytes"])
        ways = 2 if m.axes["direction"] == "both" or m.axes["memory"] == "device" else 1
        assert m.bus_bytes == ways * int(m.axes["size_bytes"]) * (m.passes_per_sample or 0)
    local = {("local engine", "device"), ("local kernel", "device")}
    assert set(curves) == DIRECTIONS | local
    assert all(curves[key] == [4096 * 4**k for k in range(5)] for key in DIRECTIONS)
    names = {each.name for each in told.findings}
    assert {"latency_host_to_device_pinned", "half_size_device_to_host_pageable", "engine_ratio"} <= names


def test_the_host_and_the_device_compute_the_same_values(device: Device, arrays: Segment) -> None:
    expected = np.empty(arrays.elements, np.uint64)
    fill_elements(expected, salt_of(7, 0), nothing)
    assert device.read_words(arrays.arrays[0], arrays.elements, 8) == expected.tolist()


def test_both_ways_together_bring_all(device: Device, arrays: Segment, end: HostEnd) -> None:
    source, target = arrays.arrays
    end.fill(salt_of(7, 1))
    end.poison(MIB)
    both = Together((Copy(target, end.source, MIB),), (Copy(end.target, source, MIB),))
    assert device.run([both, both]) > 0
    assert device.read_words(target, MIB // 8, 8) == end.source.array.view(np.uint64).tolist()
    assert device.read_words(source, MIB // 8, 8) == end.target.array.view(np.uint64).tolist()


def test_the_engine_copies_a_part_and_no_more(device: Device, arrays: Segment) -> None:
    source, target = arrays.arrays
    device.write_zeros(target)
    device.run([Copy(target, source, 8192)])
    got = device.read_words(target, MIB // 8, 8)
    assert got[:1024] == device.read_words(source, 1024, 8)
    assert not any(got[1024:])


class Unpinned(SimulatedDevice):
    """Its host gives no memory of one kind."""

    refused = "pinned"

    def host_memory(self, nbytes: int, *, pinned: bool) -> SimulatedHostMemory:
        if pinned == (self.refused == "pinned"):
            raise BenchmarkFailed("the test's limit of locked memory")
        return super().host_memory(nbytes, pinned=pinned)


@pytest.mark.parametrize("refused", ["pinned", "pageable"])
def test_memory_that_the_host_does_not_give_is_skipped_alone(
    simulated: SimulatedDevice, refused: str
) -> None:
    device = Unpinned(clock=simulated.clock)
    device.refused = refused
    _, told = run_on(device, "transfer", **QUICK)
    [first, *others] = told.measurements
    assert (first.status, first.axes["memory"]) == ("skipped", refused)
    assert "locked memory" in (first.reason or "")
    ok = {(m.axes["direction"], m.axes["memory"]) for m in others if m.status == "ok"}
    assert {each for each in DIRECTIONS if each[1] != refused} == {e for e in ok if e[1] != "device"}


def shortened(copy: Copy) -> Copy:
    return Copy(copy.destination, copy.source, copy.nbytes - 8)


Wrong = Callable[[Copy], bool]
FAULTS: dict[str, tuple[Wrong, set[tuple[str, str]]]] = {
    "to the device": (
        lambda copy: not isinstance(copy.source, runtime.cl.Buffer),
        {("host to device", "pinned"), ("host to device", "pageable"), ("both", "pinned")},
    ),
    "to the host": (
        lambda copy: not isinstance(copy.destination, runtime.cl.Buffer),
        {("device to host", "pinned"), ("device to host", "pageable"), ("both", "pinned")},
    ),
    "within the device": (
        lambda copy: (
            isinstance(copy.source, runtime.cl.Buffer) and isinstance(copy.destination, runtime.cl.Buffer)
        ),
        {("local engine", "device")},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_transfer_that_leaves_out_its_last_word_is_found(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    is_wrong, expected = FAULTS[fault]
    right = runtime._enqueue_copy

    def wrong(copy: Copy, queue: object) -> object:
        return right(shortened(copy) if is_wrong(copy) else copy, queue)

    monkeypatch.setattr(runtime, "_enqueue_copy", wrong)
    _, told = measure("transfer", **QUICK)
    found = {(m.axes["direction"], m.axes["memory"]) for m in told.measurements if m.status == "unverified"}
    assert found == expected
    for m in told.measurements:
        if m.status == "unverified":
            assert m.mismatches == 1
            assert m.first_mismatches[0].index == int(m.axes["size_bytes"]) // 8 - 1
            assert m.bandwidth_bytes_per_second is None


def test_where_the_host_differs_is_told() -> None:
    expected = np.arange(1 << 20, dtype=np.uint64)
    actual = expected.copy()
    actual[[3, 600_000, 600_001]] = 2**64 - 1
    count, first = differences(expected, actual, 2, nothing)
    assert count == 3
    assert [(each.index, each.expected) for each in first] == [(3, "0x3"), (600_000, "0x927c0")]
    assert first[0].actual == "0x" + 16 * "f"


def test_a_cancel_is_heard_between_the_parts_of_a_host_array(device: Device) -> None:
    class Ended(Exception):
        pass

    heard = 0

    def check() -> None:
        nonlocal heard
        heard += 1
        if heard == 3:
            raise Ended

    end = HostEnd(device, 64 * MIB, pinned=False, raise_if_cancelled=check)
    with pytest.raises(Ended):
        end.fill(1)
    end.release()


def test_a_cancelled_transfer_leaves_the_device_usable(measure: Measure) -> None:
    told = Collected(cancel_when=lambda c: any(p.phase == "measuring" for p in c.heard))
    finished, _ = measure("transfer", reporter=told, **QUICK)
    assert finished.cancelled
    _, told = measure("transfer", **QUICK)
    assert {m.status for m in told.measurements} == {"ok", "skipped"}


def test_sizes_grow_by_four() -> None:
    assert sizes(4096) == [4096]
    assert sizes(70_000) == [4096, 16384, 65536]


def test_half_of_the_peak_is_interpolated() -> None:
    # t = t0 + n / b with t0 b = 64 KiB: half of b at 64 KiB.
    curve = {n: 1e9 * n / (n + 65536) for n in sizes(1 << 30)}
    assert half_size_bytes(curve) == pytest.approx(65536, rel=0.01)
    assert half_size_bytes({4096: 9.0, 16384: 10.0}) == 4096


@pytest.mark.parametrize(
    ("generation", "lanes", "gb_per_second"), [(3, 16, 15.75), (4, 16, 31.51), (5, 16, 63.02), (5, 8, 31.51)]
)
def test_link_theory(generation: int, lanes: int, gb_per_second: float) -> None:
    assert pcie_bytes_per_second(generation, lanes) == pytest.approx(gb_per_second * 1e9, rel=1e-3)


def test_an_unknown_link_has_no_theory() -> None:
    assert pcie_bytes_per_second(None, 16) is None
    assert pcie_bytes_per_second(4, None) is None
    assert pcie_bytes_per_second(99, 16) is None


def point(direction: str, size: int, rate: float, spread: float = 0.0) -> Measurement:
    low, high = rate * (1 - spread), rate * (1 + spread)
    summary = Summary(rate, low, high, low, high, low, high)
    axes: dict[str, int | float | str] = {"direction": direction, "memory": "pinned", "size_bytes": size}
    return Measurement("transfer", {}, "ok", axes=axes, bandwidth_bytes_per_second=summary)


@pytest.fixture
def linked(device: Device) -> DeviceInfo:
    """On PCIe 4 x16, which carries 31.5 GB/s."""
    return msgspec.structs.replace(device.info, pcie_generation=4, pcie_lanes=16)


def curves(one_way: tuple[float, float], both: tuple[float, float]) -> list[Measurement]:
    """To the device, and both ways: the rate of the smallest transfer and of a large one."""
    sizes = (4096, 1 << 28)
    rates = {"host to device": one_way, "both": both}
    return [point(name, *each) for name, two in rates.items() for each in zip(sizes, two, strict=True)]


def test_more_than_the_link_carries_is_flagged(linked: DeviceInfo) -> None:
    measured = curves((31e9, 32e9), (62e9, 64e9))
    over = [each.flags == ["over_theory"] for each in flagged(measured, linked)]
    assert over == [False, True, False, True]
    unknown = msgspec.structs.replace(linked, pcie_lanes=None)
    assert flagged(measured, unknown) == measured


LINK = msgspec.structs.replace(GPU, pcie_generation=1, pcie_lanes=1, memory_clock_hz=1_000_000_000)
"""250 MB/s; its memory has 2 GB/s."""


@pytest.mark.parametrize(("pace", "over"), [(240e6, False), (260e6, True)])
def test_a_transfer_knows_its_link(simulated: SimulatedDevice, pace: float, over: bool) -> None:
    """Copies within the device do not go over it."""
    simulated.info = LINK
    simulated.pace = lambda work: pace
    _, told = run_on(simulated, "transfer", **QUICK)
    flagged = {str(m.axes["memory"]) for m in told.measurements if "over_theory" in m.flags}
    assert flagged == ({"pinned", "pageable"} if over else set())
    [ratio] = [f.value for f in told.findings if f.name == "link_ratio_host_to_device_pinned"] or [None]
    assert ratio == (None if over else pytest.approx(0.96, rel=0.01))


def test_what_a_transfer_costs_before_its_first_byte(simulated: SimulatedDevice) -> None:
    """20 us each: 4 KiB take half of their time to begin with, and so does half the bandwidth."""
    simulated.launch_seconds = 20e-6
    simulated.pace = lambda work: 4096 / 20e-6
    _, told = run_on(simulated, "transfer", **QUICK)
    found = {f.name: f.value for f in told.findings}
    assert found["latency_host_to_device_pinned"] == pytest.approx(40e-6)
    rates = {
        m.axes["size_bytes"]: m.bandwidth_bytes_per_second.median
        for m in told.measurements
        if m.axes["direction"] == "host to device" and m.axes["memory"] == "pinned"
        if m.bandwidth_bytes_per_second
    }
    assert rates == pytest.approx({size: size / (20e-6 + size / 204.8e6) for size in rates})


def test_findings_beside_the_link(linked: DeviceInfo) -> None:
    measured = curves((1e9, 25.2e9), (2e9, 31.51e9))
    found = {each.name: each.value for each in link_findings("transfer", measured, linked)}
    assert found["link_theory"] == pytest.approx(31.51e9, rel=1e-3)
    assert found["link_ratio_host_to_device_pinned"] == pytest.approx(0.8, rel=0.01)
    assert found["link_ratio_both_pinned"] == pytest.approx(0.5, rel=0.01)
    assert found["latency_host_to_device_pinned"] == pytest.approx(4.096e-6)
    assert found["latency_both_pinned"] == pytest.approx(4.096e-6)


def test_findings_report_a_later_loss_and_ignore_mistakes(linked: DeviceInfo) -> None:
    sizes = {4096: 2e9, 1 << 16: 10e9, 1 << 20: 20e9, 1 << 24: 9e9, 1 << 28: 8e9, 1 << 30: 40e9}
    measured = [point("host to device", size, rate) for size, rate in sizes.items()]
    [half] = [
        each.text
        for each in link_findings("transfer", flagged(measured, linked), linked)
        if each.name.startswith("half_size")
    ]
    assert "half of the highest bandwidth of 20.00 GB/s is first reached at 64 KiB" in half
    assert half.endswith("and lost again at 16 MiB, 256 MiB")


def test_bandwidth_within_the_noise_is_not_lost_again(linked: DeviceInfo) -> None:
    """A median below half of the highest, whose interval reaches above."""
    rates = {4096: (2e9, 0.0), 1 << 20: (20e9, 0.2), 1 << 24: (9e9, 0.0), 1 << 28: (7e9, 0.1)}
    measured = [point("host to device", size, *each) for size, each in rates.items()]
    found = {each.name: each.text for each in link_findings("transfer", measured, linked)}
    assert found["half_size_host_to_device_pinned"].endswith(", and lost again at 256 MiB")


@dataclass
class TwoSockets:
    """A host of two nodes, and where this thread runs and allocates now."""

    node: int | None = None

    @contextmanager
    def placed_on(self, node: int | None) -> Iterator[None]:
        before, self.node = self.node, node
        yield
        self.node = before


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> TwoSockets:
    system = TwoSockets()
    monkeypatch.setattr(numa, "nodes", lambda: {0: frozenset({0}), 1: frozenset({1})})
    monkeypatch.setattr(numa, "placed_on", system.placed_on)
    monkeypatch.setattr(numa, "run_on", lambda node: setattr(system, "node", node))
    monkeypatch.setattr(numa, "node_of_memory", lambda address: system.node)
    return system


def of_links(told: Collected) -> list[Measurement]:
    return [m for m in told.measurements if m.status == "ok" and m.axes["memory"] != "device"]


def test_host_memory_is_that_of_the_gpus_node(simulated: SimulatedDevice, sockets: TwoSockets) -> None:
    allocated, given = [], simulated.host_memory

    def host_memory(nbytes: int, *, pinned: bool) -> SimulatedHostMemory:
        allocated.append(sockets.node)
        return given(nbytes, pinned=pinned)

    simulated.host_memory = host_memory  # type: ignore[method-assign]
    simulated.info = msgspec.structs.replace(GPU, numa_node=1)
    _, told = run_on(simulated, "transfer", **QUICK)
    assert allocated == [1] * 4
    assert {m.places["host_node"] for m in of_links(told)} == {1}
    assert not any("host_node" in m.axes for m in told.measurements)
    assert sockets.node is None


def test_each_node_is_a_curve_if_that_is_asked_for(simulated: SimulatedDevice, sockets: TwoSockets) -> None:
    """12.1 GB/s from the near node and 3.8 from the far one, as was reported, at a thousandth."""
    simulated.info = msgspec.structs.replace(GPU, numa_node=1)
    simulated.pace = lambda work: 12.1e6 if sockets.node == 1 else 3.8e6
    _, told = run_on(simulated, "transfer", host_nodes="all", **QUICK)
    rates = {
        (m.axes["direction"], m.axes["memory"], m.axes["host_node"]): m.bandwidth_bytes_per_second.median
        for m in of_links(told)
        if m.bandwidth_bytes_per_second
    }
    assert len(rates) == 2 * len(DIRECTIONS)
    for (direction, _, node), rate in rates.items():
        ways = 2 if direction == "both" else 1
        assert rate / ways / 1e6 == pytest.approx({1: 12.1, 0: 3.8}[int(node)], rel=0.01)
    far = {each.name: each for each in told.findings if each.name.startswith("far_node_ratio")}
    assert len(far) == len(DIRECTIONS)
    assert far["far_node_ratio_host_to_device_pinned_node0"].value == pytest.approx(3.8 / 12.1, rel=0.01)


def test_memory_of_another_node_than_asked_for_is_skipped(
    simulated: SimulatedDevice, sockets: TwoSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated.info = msgspec.structs.replace(GPU, numa_node=1)
    monkeypatch.setattr(numa, "node_of_memory", lambda address: 0)
    _, told = run_on(simulated, "transfer", **QUICK)
    assert of_links(told) == []
    reasons = {m.reason for m in told.measurements if m.axes.get("direction") == "any"}
    assert reasons == {"the system gave memory of NUMA node 0 in place of node 1"}
