"""The CUDA runtime on a stand-in for the driver: real workers, real PyCUDA, kernels on the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.benchmarks.registry import STREAM
from gpubench.catalog.theory import theory_for_device
from gpubench.errors import DeadlineExceeded
from gpubench.executor.messages import Run
from gpubench.executor.probe import probe
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import CANCEL_GRACE_SECONDS, StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument, decode_document
from gpubench.results.machine import DeviceInfo
from gpubench.results.timestamps import now
from tests.devices import standin
from tests.devices.conftest import Place

MIB = 1 << 20
DEVICE = "cuda:GPU-10111213-1415-1617-1819-1a1b1c1d1e1f"
PINNED = {
    "vector_bytes": 16,
    "unroll": 4,
    "group_size": 256,
    "order": "grid",
    "streaming_stores": True,
    "groups": 8,
}
QUICK = {"footprint_bytes": 2 * MIB, "time_limit_seconds": 0.05}


def measure(
    worker: WorkerProcess, *names: str, stop: StopRequest | None = None, **parameters: Any
) -> RunDocument:
    run = Run(DEVICE, plan([BenchmarkRequest(name, {**QUICK, **parameters}) for name in names]))
    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    return supervise(worker, run, recorder, stop or StopRequest(), lambda progress: None)


def test_the_device_is_described(in_place: Place) -> None:
    in_place()
    probed = probe(["cuda"])
    assert [status.reason for status in probed.runtimes] == [None]
    assert probed.devices == [
        DeviceInfo(
            id=DEVICE,
            alias="cuda-gpu0",
            runtime="cuda",
            kind="gpu",
            name="Stand-in",
            hardware_id="00000000:3b:00.0",
            vendor="NVIDIA",
            runtime_version="CUDA 13.0",
            compute_units=2,
            compute_capability="9.0",
            memory_bytes=512 * MIB,
            last_level_cache_bytes=MIB // 4,
            bus_width_bits=32,
            memory_clock_hz=1_000_000_000,
            ecc_enabled=True,
            pci_bus_id="00000000:3b:00.0",
            integrated=False,
        )
    ]


@pytest.mark.parametrize("folder", ["h100-80gb-hbm3-2026-11-26", "h200-2026-11-26"])
def test_what_drivers_report_of_gpus_is_read_as_it_was(in_place: Place, folder: str) -> None:
    path = Path(__file__).parents[2] / "results" / folder / "full.json"
    recorded = decode_document(path.read_bytes())
    gpu = recorded.device
    assert gpu and gpu.memory_clock_hz and recorded.theory
    numbers = {
        16: gpu.compute_units,
        32: gpu.ecc_enabled,
        36: gpu.memory_clock_hz // 1000,
        37: gpu.bus_width_bits,
        38: gpu.last_level_cache_bytes,
    }
    given = ",".join(f"{number}={int(value or 0)}" for number, value in numbers.items())
    in_place(STANDIN_NAME=gpu.name, STANDIN_ATTRIBUTES=given)
    [found] = probe(["cuda"]).devices
    for name in ("name", "compute_units", "memory_clock_hz", "bus_width_bits", "last_level_cache_bytes"):
        assert getattr(found, name) == getattr(gpu, name)
    theory = theory_for_device(found, None)
    assert theory and theory.board == recorded.theory.board
    assert theory.peak_bytes_per_second == recorded.theory.peak_bytes_per_second
    assert theory.notes == []


@pytest.mark.parametrize(("more", "link"), [({}, (5, 16)), ({"STANDIN_INTEGRATED": "1"}, (None, None))])
def test_one_that_shares_the_hosts_memory_has_no_link_to_it(
    in_place: Place,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    more: dict[str, str],
    link: tuple[int | None, int | None],
) -> None:
    tmp_path.joinpath("pynvml.py").write_text(
        "nvmlInit = lambda: None\n"
        "nvmlDeviceGetHandleByPciBusId = lambda address: 1\n"
        "nvmlDeviceGetMaxPcieLinkGeneration = lambda handle: 5\n"
        "nvmlDeviceGetMaxPcieLinkWidth = lambda handle: 16\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    in_place(**more)
    [device] = probe(["cuda"]).devices
    assert (device.pcie_generation, device.pcie_lanes) == link


@pytest.mark.parametrize(("dtype", "order"), [("double", "grid"), ("float", "tile"), ("float", "halves")])
def test_the_suite_is_measured_and_verified(
    start: Callable[..., WorkerProcess], dtype: str, order: str
) -> None:
    document = measure(start(), "stream", **{**PINNED, "order": order}, dtype=dtype)
    assert document.outcome == "ok", document.error
    assert [m.benchmark for m in document.measurements] == list(STREAM)
    assert all(m.verified and m.mismatches == 0 for m in document.measurements)
    assert document.environment and "NVRTC" in (document.environment.compiler or "")
    assert document.theory and document.theory.peak_bytes_per_second == 8e9


def test_each_group_of_a_mix_has_room_for_its_sum(start: Callable[..., WorkerProcess]) -> None:
    """In every shape that is tried, also if each chunk has a group: beyond the room a GPU faults."""
    document = measure(start(), "mix", footprint_bytes=16 * MIB, time_limit_seconds=0.001)
    assert document.outcome == "ok", document.error
    assert [m.verified for m in document.measurements] == [True] * 6
    [tuning] = document.tuning
    assert {trial.reason for trial in tuning.trials} == {None}
    assert any(trial.shape.groups is None for trial in tuning.trials)


def test_walks_and_cache_sweeps_are_measured_and_verified(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "latency", footprint_bytes=MIB, time_limit_seconds=0.001, page_bytes=65536)
    assert document.outcome == "ok", document.error
    assert {m.axes["order"] for m in document.measurements} == {"random", "paged"}
    assert all(m.verified and m.latency_seconds for m in document.measurements)
    document = measure(start(), "cache_sweep", **PINNED, footprint_bytes=MIB, time_limit_seconds=0.001)
    assert document.outcome == "ok", document.error
    assert {m.axes["kernel"] for m in document.measurements} == {"read", "copy"}
    assert all(m.verified and m.mismatches == 0 for m in document.measurements)


def test_groups_that_run_in_turn_have_no_latency_under_load(start: Callable[..., WorkerProcess]) -> None:
    """As the stand-in's do: the walk is over before the first reader begins."""
    [m] = measure(start(), "loaded_latency", footprint_bytes=8 * MIB).measurements
    assert m.status == "skipped"
    assert "does not run its groups at the same time" in (m.reason or "")


def test_patterns_and_random_places_are_measured_and_verified(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "pattern", "scatter", "update", footprint_bytes=MIB)
    assert document.outcome == "ok", document.error
    assert len(document.measurements) == 10 + 6 + 6
    assert all(m.verified and m.mismatches == 0 for m in document.measurements)


def test_every_shape_of_a_gpu_is_tried(start: Callable[..., WorkerProcess]) -> None:
    document = measure(start(), "copy", "read", "write")
    assert document.outcome == "ok", document.error
    assert all(m.verified for m in document.measurements)
    assert [(t.access, len(t.trials)) for t in document.tuning] == [("copy", 6), ("read", 6), ("write", 6)]
    assert all(trial.reason is None for t in document.tuning for trial in t.trials)


@pytest.mark.parametrize(
    ("code", "said"),
    [(700, "illegal memory access"), (702, "timed out"), (719, "launch failure"), (999, "unknown")],
)
def test_an_error_that_ends_the_context_is_a_lost_device(
    start: Callable[..., WorkerProcess], code: int, said: str
) -> None:
    worker = start(STANDIN_FAULT=f"cuLaunchKernel:{code}:20")
    document = measure(worker, "copy", **PINNED)
    assert document.outcome == "device_lost"
    assert document.error and said in document.error.message
    assert not worker.alive
    assert measure(start(), "copy", **PINNED).outcome == "ok"


def test_memory_that_is_not_there_skips_its_benchmark_alone(start: Callable[..., WorkerProcess]) -> None:
    # PyCUDA tries again once, after it has collected its garbage.
    worker = start(STANDIN_FAULT="cuMemAlloc_v2:2:0:2")
    document = measure(worker, "copy", "read", **PINNED)
    assert [m.status for m in document.measurements] == ["skipped", "ok"]
    assert "too little memory free" in (document.measurements[0].reason or "")


def test_a_launch_that_is_refused_fails_its_benchmark_alone(start: Callable[..., WorkerProcess]) -> None:
    worker = start(STANDIN_FAULT="cuLaunchKernel:701:3")
    document = measure(worker, "copy", "read", **PINNED)
    assert [m.status for m in document.measurements] == ["failed", "ok"]
    assert "too many resources" in (document.measurements[0].reason or "")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"STANDIN_FAULT": "cuModuleLoadDataEx:200:0"}, "kernel image is invalid"),
        ({"STANDIN_ARCHITECTURE": "sm_80"}, "no kernel image is available"),
    ],
)
def test_machine_code_that_the_driver_refuses(
    start: Callable[..., WorkerProcess], faults: dict[str, str], said: str
) -> None:
    document = measure(start(**faults), "copy", **PINNED)
    assert document.error and document.error.kind == "benchmark_failed"
    assert said in document.error.message


@pytest.mark.timing
def test_a_driver_that_hangs_costs_its_worker(start: Callable[..., WorkerProcess]) -> None:
    worker, stop = start(STANDIN_FAULT="cuEventSynchronize:-1:5"), StopRequest()
    limit_seconds = 8  # until it hangs, also on a busy machine: otherwise it could still answer
    threading.Timer(limit_seconds, stop.set, [DeadlineExceeded("the deadline of the run has passed")]).start()
    begin = time.monotonic()
    document = measure(worker, "copy", stop=stop, **PINNED)
    assert document.outcome == "timeout"
    assert time.monotonic() - begin < limit_seconds + CANCEL_GRACE_SECONDS + 6
    assert not worker.alive


def test_a_machine_without_a_device(pycuda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.build_driver_without_device(pycuda, tmp_path)
    for name, value in standin.environment(pycuda, tmp_path).items():
        monkeypatch.setenv(name, value)
    probed = probe(["cuda", "opencl"])
    reasons = {status.name: status.reason for status in probed.runtimes}
    assert "no CUDA-capable device is detected" in (reasons["cuda"] or "")
    assert reasons["opencl"] is None


def test_a_machine_without_a_driver(pycuda: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{pycuda}:{Path(__file__).parents[2]}")
    [status] = probe(["cuda"]).runtimes
    assert not status.available
    assert "driver is not installed" in (status.reason or "") or "no device" in (status.reason or "")


OWN_WORK = """
from types import SimpleNamespace
from gpubench.devices.base import Copy
from gpubench.devices.cuda.runtime import CudaRuntime

runtime = CudaRuntime()
device = runtime.open(runtime.devices()[0].id)
device._nvml = SimpleNamespace(usage=lambda idle_seconds: idle_seconds >= 1)
memory = device.allocate(8192)
print(device.usage(0.05))
device.run([Copy(memory.view(0, 4096), memory.view(4096, 4096), 4096)])
print(device.usage(0.05))
"""


def test_a_device_knows_of_its_own_work_when_it_tells_of_others(in_place: Place) -> None:
    in_place()
    ended = subprocess.run([sys.executable, "-c", OWN_WORK], capture_output=True, text=True)
    assert (ended.stdout.split(), ended.stderr) == (["True", "False"], "")


LATE = """
import sys
from gpubench.devices import host
from gpubench.devices.base import Copy
from gpubench.devices.cuda import hold
from gpubench.devices.cuda.runtime import CudaRuntime

host.is_wsl = lambda: "wsl" in sys.argv
runtime = CudaRuntime()
[info] = runtime.devices()
device = runtime.open(info.id)
memory = device.allocate(8192)
copies = [Copy(memory.view(0, 4096), memory.view(4096, 4096), 4096)] * 50
told = []
release = hold.Hold.release

def release_late(self):
    while hold.LIMIT_CYCLES == 1 and not self.gave_up:
        pass
    release(self)

hold.Hold.release = release_late
for limit in (1 << 40, 1, 1 << 40):
    hold.LIMIT_CYCLES = limit
    told.append(device.run(copies) > 0 and device.late_starts)
print(*told, len(info.notes), *info.notes)
"""


@pytest.mark.parametrize(("system", "told"), [("linux", "0 1 1 0"), ("wsl", "0 0 0 2 under WSL")])
def test_a_run_that_began_before_it_was_queued_is_told(in_place: Place, system: str, told: str) -> None:
    """By the kernel that holds it, once it gives up; under Windows nothing is held, and a note says so."""
    in_place()
    ended = subprocess.run([sys.executable, "-c", LATE, system], capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.stdout.startswith(told)
    assert ("work is not held" in ended.stdout) == (system == "wsl")


DESCRIBED = """
import json, os, sys
from types import SimpleNamespace
import msgspec

BOARD_BYTES = int(os.environ["BOARD"]) << 20

class Nvml(SimpleNamespace):
    nvmlInit = staticmethod(lambda: None)
    nvmlDeviceGetHandleByPciBusId = staticmethod(lambda address: "board")
    nvmlDeviceGetMemoryInfo = staticmethod(lambda handle: SimpleNamespace(used=1, total=BOARD_BYTES))
    nvmlDeviceGetMemoryBusWidth = staticmethod(lambda handle: 5120)
    nvmlDeviceGetComputeRunningProcesses = staticmethod(lambda handle: [SimpleNamespace(pid=4711)])
    nvmlSystemGetProcessName = staticmethod(lambda pid: b"/usr/bin/trainer --all")

sys.modules["pynvml"] = Nvml()
from gpubench.devices.cuda.runtime import CudaRuntime
from gpubench.errors import GpubenchError

runtime = CudaRuntime()
[info] = runtime.devices()
print(json.dumps(msgspec.to_builtins(info)))
try:
    runtime.open(info.id)
    print("opened")
except GpubenchError as error:
    print(error.kind, error.message)
"""


def described(in_place: Place, **more: str) -> tuple[dict[str, Any], str]:
    in_place(**more)
    done = subprocess.run([sys.executable, "-c", DESCRIBED], capture_output=True, text=True)
    assert done.stderr == ""
    first, _, rest = done.stdout.partition("\n")
    return json.loads(first), rest


@pytest.mark.parametrize(
    ("reported_bits", "board_mib", "share", "bits"),
    [
        (5120, "4096", 1 / 8, 640),  # the driver reports the board's width
        (640, "4096", 1 / 8, 640),  # or the part's
        (5120, "1024", 4 / 8, 2560),
        (5120, "0", None, None),  # it is not known whose it is
    ],
)
def test_a_part_of_a_gpu_is_named_with_its_share_of_the_bus(
    in_place: Place, reported_bits: int, board_mib: str, share: float | None, bits: int | None
) -> None:
    """The stand-in has 512 MiB."""
    info, opened = described(
        in_place,
        STANDIN_NAME="NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        STANDIN_ATTRIBUTES=f"37={reported_bits}",
        BOARD=board_mib,
    )
    assert (info["board_share_ratio"], info["bus_width_bits"]) == (share, bits)
    assert info["notes"][0].startswith("a part of a GPU (MIG) with")
    assert info["memory_used_bytes"] is None
    assert opened == "opened\n"


def test_a_virtual_gpu_is_named_as_one(in_place: Place) -> None:
    info, _ = described(in_place, STANDIN_NAME="NVIDIA A40-48Q", BOARD="1024")
    assert info["notes"][0].startswith("a virtual GPU (vGPU)")
    assert info["board_share_ratio"] is None


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (3, "device_in_use Stand-in is in exclusive mode and in use by trainer (process 4711): wait until"),
        (0, "device_lost Stand-in failed when it was opened"),
    ],
)
def test_a_gpu_that_another_program_has_to_itself_is_in_use(in_place: Place, mode: int, told: str) -> None:
    fault = "cuDevicePrimaryCtxRetain:46:0:9"
    _, opened = described(in_place, STANDIN_ATTRIBUTES=f"20={mode}", STANDIN_FAULT=fault, BOARD="1024")
    assert opened.startswith(told)
