"""``make gpu-check``: the suite on this machine's GPU beside what else copies memory here, and a verdict.

    python bench/gpu_check.py [--output FOLDER] [--footprint BYTES] [--rounds N] [--pairs N] [--target RATIO]

Runs the stream suite twice, each time in a process of its own, and all other benchmarks once; copies
beside the driver's own copy and torch's and cupy's where they are installed, in turns at the same
footprint; and compares the figure through the socket with the one in process. Writes the run documents
and ``table.md`` to FOLDER. Exits with 1 where a figure is not verified, above theory, different in the
second process, or below a peer's, and with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gpubench_client.local import LocalClient

from gpubench.benchmarks.stream_task import StreamTask
from gpubench.benchmarks.table import BENCHMARKS, STREAM
from gpubench.devices.cuda import CudaDevice, CudaRuntime
from gpubench.kernels.programs import Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import ELEMENT_BYTES, chunk_bytes
from gpubench.measure.statistics import median
from gpubench.protocol.messages import BenchmarkRequest
from gpubench.results.document import DeviceInfo, Measurement, RunDocument, Shape, encode_document

MAX_DIFFERENCE_RATIO = 0.005
"""Between two processes."""

Copy = Callable[[], float]
"""Copies once and returns the seconds by the device's clock."""


def main() -> int:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    found = LocalClient("cuda").devices()
    gpus = [each for each in found.devices if not each.unavailable]
    if not gpus:
        reasons = [each.unavailable for each in found.devices] + [each.reason for each in found.runtimes]
        print("gpu-check: no GPU:", *filter(None, reasons), file=sys.stderr)
        return 2
    runs = [_suite(gpus[0], options, number) for number in (1, 2)]
    mistakes = [mistake for run in runs for mistake in _mistakes(run)]
    lines = [f"# {gpus[0].name}, {gpus[0].runtime_version}, driver {gpus[0].driver}", "", *_table(runs), ""]
    mistakes += _differences(*runs)
    copied = next((each for each in runs[1].measurements if each.benchmark == "copy"), None)
    if copied and copied.shape and copied.footprint_bytes:
        rates, watched = _beside_peers(gpus[0].id, copied.shape, copied.footprint_bytes, options.rounds)
        lines += [f"- {name}: {rate / 1e9:.1f} GB/s" for name, rate in rates.items()]
        lines.append(f"- copies while NVML is asked / while it is not: {watched:.5f} of the time")
        mistakes += [
            f"copy is below that of {name}" for name, rate in rates.items() if rate > rates["gpubench"]
        ]
    beside = _beside_the_suite(gpus[0], options)
    mistakes += _mistakes(beside)
    lines += ["", *(f"- {each.benchmark}, {each.name}: {each.text}" for each in beside.findings)]
    if options.pairs:
        pairs = Path(__file__).with_name("socket_pairs.py")
        said = subprocess.run([sys.executable, pairs, str(options.pairs)], stdout=subprocess.PIPE, text=True)
        lines += ["", said.stdout.strip()]
        mistakes += ["the figure through the socket could not be measured"] * (said.returncode != 0)
    lines += ["", *(f"- WRONG: {mistake}" for mistake in mistakes)]
    options.output.joinpath("table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if mistakes else 0


def _suite(gpu: DeviceInfo, options: argparse.Namespace, number: int) -> RunDocument:
    given = {"target_ratio": options.target, "footprint_bytes": options.footprint}
    document = LocalClient("cuda").run([BenchmarkRequest("stream", given)], device=gpu.id)
    options.output.joinpath(f"stream-{number}.json").write_bytes(encode_document(document))
    return document


def _beside_the_suite(gpu: DeviceInfo, options: argparse.Namespace) -> RunDocument:
    """Every benchmark that is not in the suite."""
    document = LocalClient("cuda").run([name for name in BENCHMARKS if name not in STREAM], device=gpu.id)
    options.output.joinpath("beside.json").write_bytes(encode_document(document))
    return document


def _mistakes(run: RunDocument) -> list[str]:
    found = [f"the run ended as {run.outcome}: {run.error}"] if run.outcome != "ok" else []
    for each in run.measurements:
        if not each.verified and each.status != "skipped":
            found.append(f"{each.benchmark} is not verified: {each.reason}")
        if "over_theory" in each.flags:
            found.append(f"{each.benchmark} is above theory")
    return found


def _differences(first: RunDocument, second: RunDocument) -> list[str]:
    pairs = zip(map(_rate, first.measurements), map(_rate, second.measurements), strict=False)
    return [
        f"{each.benchmark} differs by {b / a - 1:+.2%} between two processes"
        for each, (a, b) in zip(first.measurements, pairs, strict=False)
        if a and b and abs(b / a - 1) > MAX_DIFFERENCE_RATIO
    ]


def _table(runs: list[RunDocument]) -> list[str]:
    rows = [
        "| benchmark | GB/s | second process | of theory | interval | flags |",
        "|---|---|---|---|---|---|",
    ]
    others = {each.benchmark: _rate(each) for each in runs[1].measurements}
    for each in runs[0].measurements:
        summary, share = each.bandwidth_bytes_per_second, each.efficiency_ratio.nominal
        if summary is None:
            rows.append(f"| {each.benchmark} | {each.status}: {each.reason} | | | | |")
            continue
        half = (summary.high - summary.low) / 2 / summary.median
        rows.append(
            f"| {each.benchmark} | {summary.median / 1e9:.1f} | {others.get(each.benchmark, 0) / 1e9:.1f} | "
            f"{f'{share:.1%}' if share else 'unknown'} | ±{half:.2%} | {', '.join(each.flags)} |"
        )
    return rows


def _rate(measurement: Measurement) -> float:
    summary = measurement.bandwidth_bytes_per_second
    return summary.median if summary else 0.0


def _beside_peers(
    device_id: str, shape: Shape, footprint_bytes: int, rounds: int
) -> tuple[dict[str, float], float]:
    """Bytes per second of copies that take turns, each counted twice, once read and once written.

    The other figure is how much longer a copy takes while it is watched.
    """
    device = CudaRuntime().open(device_id)
    arena, row = Arena(device), STREAM["copy"]
    segments = arena.cut(footprint_bytes, row.arrays, ELEMENT_BYTES["double"], chunk_bytes(shape))
    task = StreamTask(device, Programs(device), row, "double", segments, seed=1)
    task.fill()
    launches = task.launches(shape)
    array_bytes = task.footprint_bytes // 2
    copies: dict[str, Copy] = {"gpubench": lambda: device.run(launches)}
    copies |= {name: make(array_bytes) for name, make in _PEERS.items() if importlib.util.find_spec(name)}
    source, target = (view.pointer for view in segments[0].arrays)
    copies["cuMemcpyDtoD"] = _driver_copy(source, target, array_bytes)
    samples: dict[str, list[float]] = {name: [] for name in copies}
    for name, _ in itertools.product(copies, range(3)):
        copies[name]()
    for _ in range(rounds):
        for name, copy in copies.items():
            copy()  # what another left in the cache is not its own
            samples[name].append(copy())
    watched = _watched_ratio(device, copies["gpubench"], rounds)
    task.release()
    arena.release()
    device.close()
    return {name: 2 * array_bytes / median(seconds) for name, seconds in samples.items()}, watched


def _watched_ratio(device: CudaDevice, copy: Copy, pairs: int) -> float:
    """How much longer copies take while NVML is asked, in turns with copies while it is not."""
    ratios = []
    for _ in range(pairs):
        alone = median([copy() for _ in range(20)])
        watch = device.watch()
        watched = median([copy() for _ in range(20)])
        watch.stop()
        ratios.append(watched / alone)
    return median(ratios)


def _driver_copy(source: int, target: int, array_bytes: int) -> Copy:
    import pycuda.driver as cuda

    stream, begin, end = cuda.Stream(), cuda.Event(), cuda.Event()

    def copy() -> float:
        begin.record(stream)
        cuda.memcpy_dtod_async(target, source, array_bytes, stream)
        end.record(stream)
        end.synchronize()
        return float(end.time_since(begin)) * 1e-3

    return copy


def _torch(array_bytes: int) -> Copy:
    import torch

    source = torch.rand(array_bytes // 8, dtype=torch.float64, device="cuda")
    target = torch.empty_like(source)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def copy() -> float:
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3

    return copy


def _cupy(array_bytes: int) -> Copy:
    import cupy

    source = cupy.random.rand(array_bytes // 8)
    target = cupy.empty_like(source)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()

    def copy() -> float:
        begin.record()
        cupy.copyto(target, source)
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) * 1e-3

    return copy


_PEERS = {"torch": _torch, "cupy": _cupy}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the suite on this machine's GPU, beside its peers")
    parser.add_argument("--output", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--footprint", type=int, help="bytes; as much as keeps caches out unless given")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--target", type=float, default=0.0025, help="half interval of the median")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
