"""The one table of all benchmarks: what each does and moves, its parameters, and the module that measures it.

The server plans and describes from this table, so nothing here needs a device, a runtime or numpy: a
benchmark's module is imported when it is measured.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, resources
from typing import TYPE_CHECKING, Literal, cast

from gpubench.benchmarks.parameters import (
    CacheSweepParameters,
    IntegrityParameters,
    LatencyParameters,
    LoadedLatencyParameters,
    MapParameters,
    OccupancyParameters,
    Parameters,
    StreamParameters,
    SustainedParameters,
    TransferParameters,
)
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement

if TYPE_CHECKING:
    from gpubench.measure.run_context import RunContext

Measure = Callable[["RunContext", PlannedBenchmark], Iterator[Measurement | Finding]]
"""Measures a planned benchmark, and yields each measurement and finding as soon as it is known.

Raises ``Skipped`` if the device cannot do it, ``BenchmarkFailed`` and ``InvalidParameters`` if this
benchmark fails; the run goes on with the next one.
"""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One row: a benchmark with a line on what it does, and the type of its parameters.

    ``module``, the family's unless stated, is the one in this package whose ``measure`` measures it.
    """

    name: str
    summary: str
    family: str
    module: str = ""
    parameters: type[Parameters] = Parameters

    @property
    def explanation(self) -> str:
        """A paragraph on what it does."""
        return _explanations()[self.name]["text"].replace("\n", " ")

    @property
    def measure(self) -> Measure:
        return cast(Measure, import_module(f"{__package__}.{self.module or self.family}").measure)


@dataclass(frozen=True, kw_only=True)
class StreamBenchmark(Benchmark):
    """A pass over whole arrays.

    ``arrays`` it works on, of equal size; ``payload_arrays`` of them are payload. ``access`` is the
    class it is tuned in. With ``integers`` it needs no floating point.

    Its output is verified element by element or by the sums of its groups. The elements of
    ``output_array`` must be those of ``operation``, a number of verify.cl, to within ``tolerance_ulps``
    units in the last place. ``sums_kernel`` of verify.cl verifies sums.
    """

    family: str = "stream"
    parameters: type[Parameters] = StreamParameters
    access: Literal["read", "write", "copy"]
    arrays: int
    payload_arrays: int = 1
    integers: bool = False
    output_array: int | None = None
    operation: int = 0
    tolerance_ulps: int = 0
    sums_kernel: str | None = None

    @property
    def bus_arrays(self) -> int:
        """Arrays that cross the memory bus in a pass: each once. That ordinary stores of a processor
        read the line first is not counted."""
        return self.arrays


_STREAM_ROWS = (
    StreamBenchmark(
        name="copy",
        summary="b[i] = a[i]",
        access="copy",
        arrays=2,
        output_array=1,
        operation=0,
    ),
    StreamBenchmark(
        name="scale",
        summary="b[i] = q * a[i]",
        access="copy",
        arrays=2,
        output_array=1,
        operation=1,
    ),
    StreamBenchmark(
        name="add",
        summary="c[i] = a[i] + b[i]",
        access="copy",
        arrays=3,
        output_array=2,
        operation=2,
    ),
    StreamBenchmark(
        name="triad",
        summary="c[i] = a[i] + q * b[i]",
        access="copy",
        arrays=3,
        output_array=2,
        operation=3,
        tolerance_ulps=1,  # the multiplication and the addition may be fused
    ),
    StreamBenchmark(
        name="dot",
        summary="sum of a[i] * b[i]",
        access="read",
        arrays=2,
        payload_arrays=2,
        sums_kernel="check_product_sums",
    ),
    StreamBenchmark(
        name="read",
        summary="sum of a[i], integers",
        access="read",
        arrays=1,
        integers=True,
        sums_kernel="check_word_sums",
    ),
    StreamBenchmark(
        name="write",
        summary="a[i] = counter",
        access="write",
        arrays=1,
        integers=True,
        output_array=0,
        operation=4,
    ),
)

_WHOLE_MEMORY_ROWS = (
    Benchmark(
        name="map",
        summary="bandwidth of each of up to 256 slices of free memory",
        family="memory_map",
        parameters=MapParameters,
    ),
    Benchmark(
        name="integrity",
        summary="test patterns over free memory, which find every wrong word",
        family="integrity",
        parameters=IntegrityParameters,
    ),
    Benchmark(
        name="sustained",
        summary="triad over seconds to minutes, as a time series with power and temperature",
        family="sustained",
        parameters=SustainedParameters,
    ),
)

_DEVICE_ROWS = (
    Benchmark(
        name="occupancy",
        summary="bandwidth by the number of thread groups in flight",
        family="occupancy",
        parameters=OccupancyParameters,
    ),
    Benchmark(
        name="launch",
        summary="time of a kernel that does almost nothing",
        family="launch",
    ),
)

_TRANSFER_ROWS = (
    Benchmark(
        name="transfer",
        summary="bandwidth between host and device, and within the device by its copy engine",
        family="transfer",
        parameters=TransferParameters,
    ),
)

_ACCESS_ROWS = (
    Benchmark(
        name="mix",
        summary="reads and writes mixed, from 1:0 to 0:1",
        family="mix",
    ),
    Benchmark(
        name="pattern",
        summary="bandwidth by data pattern: zeros, ones, checkerboard, walking bit, random",
        family="pattern",
    ),
    Benchmark(
        name="strided",
        summary="every 1st to 64th element read, and misaligned starts",
        family="strided",
    ),
    Benchmark(
        name="gather",
        summary="pieces of 4 to 128 bytes read from random places",
        family="random",
        module="random_access",
    ),
    Benchmark(
        name="scatter",
        summary="pieces of 4 to 128 bytes written to random places",
        family="random",
        module="random_access",
    ),
    Benchmark(
        name="update",
        summary="pieces of 4 to 128 bytes read, changed and written back at random places",
        family="random",
        module="random_access",
    ),
)

_LATENCY_ROWS = (
    Benchmark(
        name="latency",
        summary="time of one access that waits for the previous one, by footprint",
        family="latency",
        parameters=LatencyParameters,
    ),
    Benchmark(
        name="loaded_latency",
        summary="latency of one thread while all others read, from idle to as fast as they can",
        family="loaded_latency",
        parameters=LoadedLatencyParameters,
    ),
    Benchmark(
        name="cache_sweep",
        summary="read and copy bandwidth by footprint, and the caches that it reveals",
        family="cache_sweep",
        parameters=CacheSweepParameters,
    ),
)

STREAM: dict[str, StreamBenchmark] = {row.name: row for row in _STREAM_ROWS}

BENCHMARKS: dict[str, Benchmark] = {
    row.name: row
    for row in (
        *_STREAM_ROWS,
        *_ACCESS_ROWS,
        *_TRANSFER_ROWS,
        *_DEVICE_ROWS,
        *_WHOLE_MEMORY_ROWS,
        *_LATENCY_ROWS,
    )
}


@functools.cache
def _explanations() -> dict[str, dict[str, str]]:
    return tomllib.loads(
        resources.files(__package__).joinpath("explanations.toml").read_text(encoding="utf-8")
    )
