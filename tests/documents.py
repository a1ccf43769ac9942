"""Run documents made in code, to test what is made of them. None of these figures was measured."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench.catalog.theory import theory_for_device
from gpubench.flags import Flag
from gpubench.requests import StatedMemory
from gpubench.results.document import Measurement, RunDocument, Summary
from gpubench.results.machine import DeviceInfo, Environment, Host, Theory

GIB = 1024**3


def rtx_5090() -> DeviceInfo:
    return DeviceInfo(
        id="cuda:0",
        alias="gpu0",
        runtime="cuda",
        kind="gpu",
        name="NVIDIA GeForce RTX 5090",
        hardware_id="0000:01:00.0",
        vendor="NVIDIA",
        driver="595.10",
        memory_bytes=32 * GIB,
        last_level_cache_bytes=96 * 1024**2,
        bus_width_bits=512,
        memory_clock_hz=14_001_000_000,
    )


def h200() -> DeviceInfo:
    return msgspec.structs.replace(
        rtx_5090(),
        name="NVIDIA H200",
        memory_bytes=140 * GIB,
        bus_width_bits=6016,
        memory_clock_hz=3_201_000_000,
    )


def processor() -> DeviceInfo:
    return DeviceInfo(
        id="opencl:0",
        alias="host",
        runtime="opencl",
        kind="cpu",
        name="pthread-Some Processor",
        hardware_id="host",
        memory_bytes=64 * GIB,
    )


def measurement(
    gb_per_second: float, benchmark: str = "triad", *flags: Flag, spread: float = 0.002, **fields: Any
) -> Measurement:
    median = gb_per_second * 1e9
    low, high = median * (1 - spread), median * (1 + spread)
    usual = {
        "parameters": {"dtype": "float64"},
        "status": "ok",
        "verified": True,
        "footprint_bytes": 4 * GIB,
        "samples_seconds": [0.001] * 20,
        "stopped_because": "converged",
        "bandwidth_bytes_per_second": Summary(median, low, high, low, high, low, high),
    }
    return Measurement(benchmark=benchmark, flags=list(flags), **{**usual, **fields})


def document(
    *measurements: Measurement,
    device: DeviceInfo | None = None,
    stated: StatedMemory | None = None,
    run_id: str = "run-1",
    kernels: str = "a1b2c3",
    **fields: Any,
) -> RunDocument:
    device = device or rtx_5090()
    theory: Theory | None = theory_for_device(device, stated)
    usual = {
        "outcome": "ok",
        "created_at": "2026-01-02T03:04:05.000Z",
        "device": device,
        "theory": theory,
        "environment": Environment(
            program_version="0.1.0",
            kernel_source_hash=kernels,
            driver="595.10",
            host=Host(processor="Some Processor"),
        ),
        "measurements": list(measurements),
    }
    return RunDocument(run_id=run_id, **{**usual, **fields})
