"""The one table of all benchmarks: what each does, moves, and can be told.

Nothing here needs a device or a runtime: the server plans and describes from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpubench.benchmarks.parameters import MapParameters, Parameters, StreamParameters


@dataclass(frozen=True)
class Benchmark:
    """One row: what it does, in a line and in a paragraph, and what it can be told.

    ``family`` names the module that measures it.
    """

    name: str
    summary: str
    explanation: str
    family: str
    parameters: type[Parameters]


@dataclass(frozen=True)
class StreamBenchmark(Benchmark):
    """A pass over whole arrays.

    ``arrays`` it works on, of equal size. ``payload_arrays`` and ``bus_arrays`` are what one pass
    moves for the user and over the memory bus, in arrays: ordinary stores of a processor, which
    read the line first, get no credit for that. ``access`` is the class it is tuned in.
    """

    access: Literal["read", "write", "copy"]
    arrays: int
    payload_arrays: int
    bus_arrays: int


def _stream(
    name: str,
    access: Literal["read", "write", "copy"],
    arrays: int,
    payload_arrays: int,
    bus_arrays: int,
    summary: str,
    explanation: str,
) -> StreamBenchmark:
    return StreamBenchmark(
        name, summary, explanation, "stream", StreamParameters, access, arrays, payload_arrays, bus_arrays
    )


_STREAM_ROWS = (
    _stream(
        "copy", "copy", 2, 1, 2, "b[i] = a[i]",
        "One array is read and one is written. Bus bytes are twice the array: a tool that counts a copy once "
        "shows half of this figure.",
    ),
    _stream(
        "scale", "copy", 2, 1, 2, "b[i] = q * a[i]",
        "Copy with one multiplication for each element; the arithmetic hides behind the memory.",
    ),
    _stream(
        "add", "copy", 3, 1, 3, "c[i] = a[i] + b[i]",
        "Two arrays are read and one is written.",
    ),
    _stream(
        "triad", "copy", 3, 1, 3, "c[i] = a[i] + q * b[i]",
        "Two arrays are read and one is written, with a multiply-add: the figure by which memories are "
        "most often compared.",
    ),
    _stream(
        "dot", "read", 2, 2, 2, "sum of a[i] * b[i]",
        "Two arrays are read and reduced to one number for each group of threads; every group's number is "
        "checked.",
    ),
    _stream(
        "read", "read", 1, 1, 1, "sum of a[i], integers",
        "One array is read and summed as integers, so that the sum is exact and one skipped element shows.",
    ),
    _stream(
        "write", "write", 1, 1, 1, "a[i] = counter",
        "One array is written with a different value in every element, and nothing is read.",
    ),
)  # fmt: skip

_WHOLE_MEMORY_ROWS = (
    Benchmark(
        "map", "bandwidth of each of 256 slices of nearly all free memory",
        "Nearly all free memory is taken and cut into equal slices, and each is read in turn, round after "
        "round, so that drift favours none. A slice may be smaller than the caches: the round over all the "
        "others drives it out, and no untimed pass of its own comes before a sample. Bytes are those of a "
        "slice. A slow region is a row of slices of which even the best sample is below 90 % of the median "
        "slice, as on a card whose last half gigabyte is slow. Offsets count in the memory taken: runtimes "
        "do not tell where it lies in the chips.",
        "memory_map", MapParameters,
    ),
)  # fmt: skip

STREAM: dict[str, StreamBenchmark] = {row.name: row for row in _STREAM_ROWS}

BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in (*_STREAM_ROWS, *_WHOLE_MEMORY_ROWS)}
