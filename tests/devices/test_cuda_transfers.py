"""Transfers under CUDA on a stand-in for the driver: streams, pinned memory, peers, and their faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpubench.executor.probe import probe
from gpubench.executor.worker_process import WorkerProcess
from gpubench.results.document import Measurement, RunDocument
from tests.devices.conftest import Place
from tests.devices.test_cuda import DEVICE, MIB, PINNED, measure
from tests.running import Lines, RunningServer

QUICK = {"footprint_bytes": MIB, "time_limit_seconds": 0.005}
PEER = "cuda:GPU-30313233-3435-3637-3839-3a3b3c3d3e3f"

Start = Callable[..., WorkerProcess]


def transfer(worker: WorkerProcess, *more: str, **parameters: Any) -> RunDocument:
    return measure(worker, "transfer", *more, **{**QUICK, **parameters})


def places(document: RunDocument, status: str) -> set[tuple[object, object]]:
    return {
        (m.axes["direction"], m.axes["memory"])
        for m in document.measurements
        if m.status == status and m.benchmark == "transfer" and m.axes
    }


def of(document: RunDocument, memory: str) -> list[Measurement]:
    return [m for m in document.measurements if m.axes.get("memory") == memory and m.status == "ok"]


def test_transfers_of_both_kinds_of_memory_are_verified(start: Start) -> None:
    document = transfer(start())
    assert document.outcome == "ok", document.error
    one_way = {(way, kind) for way in ("host to device", "device to host") for kind in ("pinned", "pageable")}
    local = {("local engine", "device"), ("local kernel", "device")}
    assert places(document, "ok") == one_way | local | {("both", "pinned")}
    assert places(document, "skipped") == {("both", "pageable")}


def test_launches_and_occupancy_are_verified(start: Start) -> None:
    worker = start()
    document = measure(worker, "launch", **QUICK)
    document_too = measure(worker, "occupancy", **{**QUICK, **PINNED})
    for m in document.measurements + document_too.measurements:
        assert (m.status, m.verified) == ("ok", True), m
    assert len({m.axes["groups"] for m in document_too.measurements}) > 3


def test_copies_between_two_devices_are_verified(start: Start, in_place: Place) -> None:
    worker = start(STANDIN_DEVICES="2")
    assert [device.id for device in probe(["cuda"]).devices] == [DEVICE, PEER]
    document = transfer(worker)
    assert document.outcome == "ok", document.error
    assert {(m.axes["direction"], m.axes["size_bytes"]) for m in of(document, PEER)} == {
        (direction, size) for direction in ("to peer", "from peer", "both") for size in (4096, MIB // 4)
    }
    again = transfer(worker)  # access is allowed already
    assert len(of(again, PEER)) == 6


HELD = """
import ctypes
from gpubench.devices.cuda.runtime import CudaRuntime
from gpubench.errors import BenchmarkFailed, OutOfDeviceMemory

def held():
    flags, active = ctypes.c_uint(), ctypes.c_int()
    ctypes.CDLL("libcuda.so.1").cuDevicePrimaryCtxGetState(1, ctypes.byref(flags), ctypes.byref(active))
    return active.value

runtime = CudaRuntime()
device, peer = (runtime.open(each.id) if k == 0 else each.id for k, each in enumerate(runtime.devices()))
told = [held()]
for nbytes in (1 << 20, 1 << 20, 1 << 40):
    try:
        memory = device.peer_memory(peer, nbytes)
        told.append(held())
        memory.release()
    except (BenchmarkFailed, OutOfDeviceMemory):
        told.append("refused")
    device.allocate(4096).release()  # in its own context as before
    told.append(held())
print(*told)
"""


@pytest.mark.parametrize(
    ("fault", "held"),
    [("", "0 1 0 1 0 refused 0"), ("cuCtxEnablePeerAccess:801:1", "0 refused 0 1 0 refused 0")],
)
def test_a_peer_is_held_no_longer_than_its_memory(in_place: Place, fault: str, held: str) -> None:
    in_place(STANDIN_DEVICES="2", STANDIN_FAULT=fault)
    ended = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, held, "")


def test_an_unreachable_peer_is_skipped_with_the_reason(start: Start) -> None:
    document = transfer(start(STANDIN_DEVICES="2", STANDIN_NO_PEERS="1"))
    [m] = [m for m in document.measurements if m.axes.get("memory") == PEER]
    assert m.status == "skipped"
    assert "no access to each other's memory" in (m.reason or "")
    assert len(of(document, "device")) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [("cuCtxEnablePeerAccess:801:1", "not supported"), ("cuMemcpyDtoDAsync_v2:1:2", "invalid argument")],
)
def test_a_refusal_among_peers_costs_no_other_transfer(start: Start, fault: str, said: str) -> None:
    document = transfer(start(STANDIN_DEVICES="2", STANDIN_FAULT=fault))
    [m] = [m for m in document.measurements if m.axes.get("memory") == PEER]
    assert m.status == "skipped"
    assert said in (m.reason or "")
    assert len(of(document, "device")) == 2, document.error


def test_pinned_memory_that_is_refused_costs_no_other_transfer(start: Start) -> None:
    # The first call is for the word that holds the stream.
    document = transfer(start(STANDIN_FAULT="cuMemHostAlloc:2:1:9"))
    assert document.outcome == "ok", document.error
    [m] = [m for m in document.measurements if m.axes["memory"] == "pinned"]
    assert m.status == "skipped"
    assert "pinned memory" in (m.reason or "")
    assert len(of(document, "pageable")) > 2
    assert len(of(document, "device")) == 2


def test_a_transfer_that_is_refused_fails_its_benchmark_alone(start: Start) -> None:
    document = transfer(start(STANDIN_FAULT="cuStreamWaitEvent:1:3"), "launch")
    first, *others = document.measurements
    assert (first.benchmark, first.status) == ("transfer", "failed")
    assert "invalid argument" in (first.reason or "")
    assert {(m.benchmark, m.status) for m in others} == {("launch", "ok")}


def test_a_transfer_that_ends_the_context_is_a_lost_device(start: Start) -> None:
    worker = start(STANDIN_FAULT="cuMemcpyHtoDAsync_v2:700:9")
    document = transfer(worker)
    assert document.outcome == "device_lost"
    assert not worker.alive


def test_copies_between_devices_wait_for_both_and_hold_both(in_place: Place, tmp_path: Path) -> None:
    in_place(STANDIN_DEVICES="2")
    copy = {"name": "copy", "parameters": {**QUICK, **PINNED}}
    copies = {"name": "transfer", "parameters": QUICK}

    def on(device: str, benchmark: dict[str, Any]) -> dict[str, Any]:
        return {"device": device, "benchmarks": [benchmark]}

    def long(benchmark: dict[str, Any]) -> dict[str, Any]:
        endless = {"time_limit_seconds": 60, "target_ratio": 0.0001}
        return {**benchmark, "parameters": {**benchmark["parameters"], **endless}}

    def is_kept_waiting(client: Lines, run: dict[str, Any]) -> bool:
        error = client.refused("run", {**run, "deadline_seconds": 1})
        assert error["data"]["kind"] == "deadline_exceeded"
        return error["data"]["document"]["started_at"] is None

    with RunningServer(tmp_path, "--runtime", "cuda") as server:
        with server.connect() as first, server.connect() as second:
            first.begin_measuring(long(copy), device=PEER)
            assert second.ask("run", on(DEVICE, copy))["outcome"] == "ok"
            assert is_kept_waiting(second, on(DEVICE, copies))
        with server.connect() as first, server.connect() as second:
            first.begin_measuring(long(copies), device=DEVICE)
            assert is_kept_waiting(second, on(PEER, copy))
