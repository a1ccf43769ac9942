"""The one table of all benchmarks: what each does, moves, and can be told.

Nothing here needs a device or a runtime: the server plans and describes from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        "map", "bandwidth of each of up to 256 slices of free memory",
        "Nine tenths of the free memory are taken, on a processor a quarter of it, 2 GiB at most (more only "
        "where large caches ask for it), and cut into equal slices; each is read in turn, round after round, "
        "so that drift favours none. On a GPU whose last-level cache is known, slices are 16 times as "
        "large or more, where four of them fit; else one may be smaller than the caches: the round over all "
        "the others drives it out, and no untimed pass of its own comes before a sample. Bytes are those of "
        "a slice. A slow region is a row of slices of which even the best sample is below 90 % of the median "
        "slice, as on a card whose last half gigabyte is slow. Offsets count in the memory taken: runtimes "
        "do not tell where it lies in the chips.",
        "memory_map", MapParameters,
    ),
    Benchmark(
        "integrity", "patterns over free memory, every wrong word found",
        "Nine tenths of the free memory, on a processor a quarter of it, 2 GiB at most (more only where "
        "large caches ask for it), are written with a pattern, read back on the device, turned into their "
        "complement and read again. Every wrong read is counted, so that a word which stays wrong counts at "
        "each check, and the first ones are told with what was expected, what was read, and what a second "
        "read gave. A word that is right when read again was lost on the way (transfer), one that holds "
        "another address's value was stored in the wrong place (addressing), one that goes wrong in a pause "
        "was not kept (retention), and any other was stored wrongly (storage). The second read may come from "
        "a cache where memory is turned over. Each pattern's checks first have to find words that were "
        "spoiled on purpose. Bytes are those written and read.",
        "integrity", IntegrityParameters,
    ),
    Benchmark(
        "sustained", "triad over seconds to minutes, as a time series with power and heat",
        "Triad runs without a rest, and each window of a second is a figure of its own, so that a memory "
        "which is fast for a moment and slow when warm is seen. Bytes are those of triad: three times the "
        "array. A window whose average is below 95 % of that of the median one is a dip, with the flags "
        "that may be why: GDDR7 sends again what arrived wrong, so that a bad link shows as lost bandwidth "
        "and not as wrong data. A window's figure is its median, which hides what is lost for a moment; "
        "findings speak of the average, which does not. Where the device tells them: clocks, limits, energy "
        "for a byte, energy for a bit above the idle board's, and heating for a watt. All data are checked "
        "before the first window and after the last.",
        "sustained", SustainedParameters,
    ),
)  # fmt: skip

_DEVICE_ROWS = (
    Benchmark(
        "occupancy", "bandwidth over the number of groups of threads in flight",
        "The same memory is read, and copied, by one group of threads, by more, and by as many as the "
        "device likes best, in the access shape that suits it: one group stays on one compute unit and shows "
        "what that can draw from the memory. Bytes are those of `read` and `copy`. The finding is the "
        "fewest groups that cannot be told from 95 % of the highest bandwidth found (fewer surely have "
        "less), and how many bytes they have under way at once. Not all groups launched are in flight "
        "together: a processor has one for each core.",
        "occupancy", OccupancyParameters,
    ),
    Benchmark(
        "launch", "time of a kernel that does next to nothing",
        "A kernel whose groups store one word each, as proof that they ran, is launched by itself and in "
        "batches, with one group and with enough of them to fill the device; the time of one launch is the "
        "figure. By itself it is the timing floor, which every sample contains once; in a batch that is "
        "queued before it begins it is what the device needs from one kernel to the next; in a batch too "
        "long for that, what the host needs to launch one. No bytes are counted. A finding gives the "
        "footprint below which a single pass is usually shorter than 100 floors.",
        "launch", Parameters,
    ),
)  # fmt: skip

_TRANSFER_ROWS = (
    Benchmark(
        "transfer", "between host and device, and within the device by its copy engine",
        "Data are copied from the host to the device, back, and both ways at once, in sizes from 4 KiB on, "
        "each four times the one before; the host's memory is pinned, where the device reaches it by "
        "itself, or pageable, as programs usually have it. Both at once needs pinned memory. A figure "
        "counts the bytes that are sent, once, of both directions together where there are two; it is that "
        "of transfers back to back, timed on the device. What arrives is compared with what was sent, "
        "whole: on the device by a kernel, on the host with values that it computed itself. Beside it stand "
        "the copies of an array within the device, by the runtime's copy command and by the copy kernel, "
        "where bytes count twice, once read and once written. Findings: the time of a small transfer, the "
        "size that reaches half of the highest bandwidth, and the share of what the PCIe link could carry. "
        "On a processor the device's memory is the host's: its transfers are copies in memory.",
        "transfer", TransferParameters,
    ),
)  # fmt: skip

_ACCESS_ROWS = (
    Benchmark(
        "mix", "reads and writes mixed, from 1:0 to 0:1",
        "Reads and writes stand mixed in one kernel, in six proportions over the same memory: GDDR and "
        "DDR buses carry one direction at a time and lose a moment with each turn. All bytes read and all "
        "bytes written count, each once. Mixes are sampled in turns, in one access shape; the finding "
        "sets each mix against what it would reach if every byte took as long as in reading alone or "
        "writing alone, and tells the worst.",
        "mix", Parameters,
    ),
    Benchmark(
        "pattern", "bandwidth by what the data hold: zeros, ones, checkerboard, walking bit, random",
        "The same kernels write and copy words of 64 bits that hold zeros, ones, a checkerboard, a bit "
        "that walks through each 32, or random bits, all in the same memory. Bytes count as in write and "
        "copy. Some memories compress data and some processors write zeros faster than anything else: "
        "zeros against random data, the pair of what can be compressed and what cannot, shows it, and the "
        "finding says how much faster than random data the fastest pattern is. All other benchmarks use "
        "random data.",
        "pattern", Parameters,
    ),
    Benchmark(
        "strided", "every 1st to 64th element read, and misaligned starts",
        "Elements of 4 bytes are read with a stride of 1 to 64 of them, and one after the other from "
        "starts that are 1 to 7 elements off. Payload is what was asked for, 4 bytes for each element; "
        "bus bytes are the sectors it lies in, 64 bytes each on processors and 32 on GPUs. A pass touches "
        "every sector once, through all of the memory before it comes back to a neighbour, so that "
        "caches cannot put together what the stride takes apart. The finding says up to which stride the "
        "payload's bandwidth halves: that many bytes are moved at least.",
        "strided", Parameters,
    ),
    Benchmark(
        "gather", "pieces of 4 to 128 bytes read from random places",
        "Pieces of memory are read at random places, each at most once in a pass, in an order that is "
        "computed as it goes: no list of places disturbs the traffic. Payload counts the pieces, bus "
        "bytes whole sectors (64 bytes on processors, 32 on GPUs) or the piece where it is larger. The "
        "rate is accesses over time; it includes what translating random addresses costs.",
        "random", Parameters,
    ),
    Benchmark(
        "scatter", "pieces of 4 to 128 bytes written to random places",
        "Pieces of memory are written at random places, each at most once in a pass; afterwards every "
        "word of the memory is checked, also those that were not to be touched. Payload counts the "
        "pieces, bus bytes whole sectors (64 bytes on processors, 32 on GPUs) or the piece where it is "
        "larger; what is read to fill the rest of a sector is not credited. The rate is accesses over "
        "time.",
        "random", Parameters,
    ),
    Benchmark(
        "update", "pieces of 4 to 128 bytes read, changed and written back at random places",
        "Random places are read, added to and written back, as in the GUPS benchmark (giga-updates per "
        "second: accesses over time, at pieces of 8 bytes). Each place is updated at most once in a pass, "
        "so that no two threads meet, no atomic operation is needed and the result is exact; an "
        "exclusive or would undo itself in every second pass, so it is an addition. Payload counts the "
        "pieces once; bus bytes are whole sectors (64 bytes on processors, 32 on GPUs) or the piece where "
        "it is larger, read and written.",
        "random", Parameters,
    ),
)  # fmt: skip

_LATENCY_ROWS = (
    Benchmark(
        "latency", "time of one access that waits for the one before, over the footprint",
        "One thread follows pointers through lines of memory, so that each access begins when the one "
        "before has ended; the time of a step is the latency. The lines are linked into one single random "
        "cycle, which is proven for every footprint before it is walked, and where a walk must have ended "
        "is checked afterwards. Footprints are powers of two and the halves between, from 4 KiB up: far "
        "into memory on a processor, to a quarter of free memory elsewhere. The order `random` goes "
        "through all of the footprint and so also pays for the translation of addresses; `paged` goes "
        "through one page after the other, in random order within each, with few translations; processors "
        "that fetch lines in pairs find some of its lines in a cache, so `memory` is the figure of `random`, "
        "from three last-level caches on. No bytes are counted. Levels are found in the curve of the "
        "fastest 5 % of the samples, and named after the caches that the device or its host tells of; the "
        "figure of a level is the median of its points' medians.",
        "latency", LatencyParameters,
    ),
    Benchmark(
        "loaded_latency", "latency of one thread while all others read, from idle to as fast as they can",
        "One group of threads follows pointers as in `latency`, in random order over memory, while all "
        "other groups read an array as fast as they are allowed: between two chunks each idles for a time "
        "that was found by trying, so that they read 0 to 100 % of what they can. They begin and stop "
        "with the walk. Each point has the latency of a step and the bandwidth that was moved meanwhile, "
        "both measured: the curve shows at which bandwidth accesses begin to wait. Bytes are those of all "
        "chunks read, counted by the groups that read them, and a line for each step; where the walk "
        "ended and what the readers summed is checked. A processor needs a second core.",
        "loaded_latency", LoadedLatencyParameters,
    ),
    Benchmark(
        "cache_sweep", "read and copy bandwidth over the footprint, and the caches that it shows",
        "Arrays of 16 KiB up to the footprint of the stream benchmarks are read, and copied. What fits "
        "into a few caches is gone through many times in one launch, so that launching is no part of the "
        "figure: on a processor each core passes over a part of its own, on a GPU all groups pass over "
        "everything. Beyond that the passes are those of `read` and `copy`, and the largest one gives "
        "their figure. Bytes are all that the kernels read and write, wherever they come from. Every "
        "group's sum and every copied word is checked. Levels are found in the fastest 5 % of the "
        "samples, and set beside the sizes that the device or its host tells of, all cores' together; the "
        "figure of a level is the median of its points' medians, and that of memory is from three "
        "last-level caches on.",
        "cache_sweep", CacheSweepParameters,
    ),
)  # fmt: skip

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
