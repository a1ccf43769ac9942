"""The levels of a memory, found from what an access costs over the footprint, and their names.

A level is a plateau of the curve. The costs' logarithms are cut into pieces of equal cost so that
the squared distances from the pieces' means, with a price for each piece, are least. Pieces shorter
than an octave are the slope between two levels; neighbours that hardly differ are one level.

Levels are distinguished by the cost of undisturbed accesses; the figure of a level is of all samples,
the median of its points' medians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpubench.devices import host
from gpubench.devices.profile import profile_of
from gpubench.measure.statistics import median
from gpubench.results.document import Finding
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bytes

PIECE_PRICE = 0.5
"""In squared octaves of cost: as much as seven points that lie 20 % off cost."""

MIN_LEVEL_OCTAVES = 1.0
MIN_LEVEL_RATIO = 1.5
"""Levels whose costs differ by less are one: the translation of addresses makes slopes too."""

MAX_NAME_OCTAVES = 2.0
"""A step this far from the reported size of a cache is still its step: caches are shared with others."""

MEMORY_CACHE_MULTIPLE = 3
"""From this multiple of the last-level cache on, a pass finds next to nothing in caches."""

_NVIDIA_L1_KIB = {
    **dict.fromkeys(("7.0", "7.2", "8.6", "8.9", "12.0", "12.1"), 128),
    "7.5": 96,
    **dict.fromkeys(("8.0", "8.7"), 192),
    **dict.fromkeys(("9.0", "10.0", "10.3"), 256),
}
"""Of a multiprocessor, by compute capability, shared memory included: the CUDA C++ programming guide (unified
data cache) and the white papers. No driver reports it."""

UNKNOWN_CACHE_BYTES = 256 << 20
"""Assumed for the last-level cache if its size is not known."""


@dataclass(frozen=True)
class Level:
    """Footprints from ``first_bytes`` to ``last_bytes``, with the median cost of their undisturbed accesses.

    ``ends_bytes`` is the last footprint that costs less than the geometric mean of this level and the
    next; None for the last level.
    """

    first_bytes: int
    last_bytes: int
    cost: float
    ends_bytes: int | None


@dataclass(frozen=True)
class CurvePoint:
    """The cost of an access or a byte at a footprint: in the fastest samples, and in the median of all.

    A disturbance raises the cost, never lowers it. So the fastest samples show the steps; as a figure
    they would be too good.
    """

    footprint_bytes: int
    undisturbed_cost: float
    median_cost: float


@dataclass(frozen=True)
class KnownCache:
    """A cache as the device, the host or its maker describes it."""

    name: str
    nbytes: int


def ladder(least_bytes: int, most_bytes: int) -> list[int]:
    """Powers of two and the halves between: 4, 6, 8, 12, 16 KiB ..."""
    powers = [1 << exponent for exponent in range(64)]
    sizes = sorted(powers + [3 * power for power in powers])
    return [size for size in sizes if least_bytes <= size <= most_bytes]


def levels(curve: Sequence[tuple[int, float]], least_ratio: float = MIN_LEVEL_RATIO) -> list[Level]:
    """Of a curve of (footprint in bytes, cost of an access or a byte), in rising order; costs are above 0."""
    plateaus = _merged(curve, [piece for piece in _pieces(curve) if _is_plateau(curve, piece)], least_ratio)
    found = []
    for number, (begin, end) in enumerate(plateaus):
        cost = _cost(curve, (begin, end))
        ends = None
        if number + 1 < len(plateaus):
            between = math.sqrt(cost * _cost(curve, plateaus[number + 1]))
            until = plateaus[number + 1][0]
            ends = max(size for size, each in curve[begin:until] if each < between)
        found.append(Level(curve[begin][0], curve[end - 1][0], cost, ends))
    return found


def known_caches(info: DeviceInfo, *, together: bool, only_reads: bool = True) -> list[KnownCache]:
    """Smallest first; a processor's are those of one core, or with ``together`` those of all cores.

    The L1 of a GPU is that of one multiprocessor, and passes writes on.
    """
    if profile_of(info.kind).is_host_processor:
        return [
            KnownCache(f"L{cache.level}", cache.nbytes * (cache.instances if together else 1))
            for cache in host.data_caches()
        ]
    l1_kib = _NVIDIA_L1_KIB.get(info.compute_capability or "") if only_reads else None
    sizes = {"L1": (l1_kib or 0) * 1024, "L2": info.last_level_cache_bytes or 0}
    return [KnownCache(name, nbytes) for name, nbytes in sizes.items() if nbytes]


def memory_from_bytes(last_level_cache_bytes: int | None) -> int:
    """The least footprint whose cost is that of memory."""
    return MEMORY_CACHE_MULTIPLE * (last_level_cache_bytes or UNKNOWN_CACHE_BYTES)


def memory_proviso(last_level_cache_bytes: int | None) -> str:
    """The end of a sentence on memory; empty if the caches are known."""
    if last_level_cache_bytes:
        return ""
    return f", if no cache is larger than {format_bytes(UNKNOWN_CACHE_BYTES)}"


def level_names(
    found: Sequence[Level], known: Sequence[KnownCache], memory_bytes: int
) -> list[tuple[str, KnownCache | None]]:
    """Each level's name, with the cache that it ends with.

    A level ends with the cache whose size is nearest to where it ends, in rising order, if its first
    footprint fits in there. It takes that cache's name, with that of the smallest one whose footprints
    it has too: "L1 to L3". The last level is the memory if it goes on to ``memory_bytes``. All others
    are called by their number.
    """
    names: list[tuple[str, KnownCache | None]] = []
    left = list(known)
    for number, level in enumerate(found[:-1], 1):
        ends = level.ends_bytes or level.last_bytes
        held = [each for each in left if each.nbytes >= level.first_bytes]
        cache = min(held, key=lambda each: abs(math.log2(each.nbytes / ends)), default=None)
        if cache and abs(math.log2(cache.nbytes / ends)) <= MAX_NAME_OCTAVES:
            left = left[left.index(cache) + 1 :]
            names.append((cache.name if cache == held[0] else f"{held[0].name} to {cache.name}", cache))
        else:
            names.append((f"level {number}", None))
    if found:
        names.append(("memory" if found[-1].last_bytes >= memory_bytes else f"level {len(found)}", None))
    return names


Figure = Callable[[float], tuple[float, str, str]]
"""Value, unit and text of a cost."""


def figure_of(points: Sequence[CurvePoint], figure: Figure) -> tuple[float, str, str]:
    """Value and unit of the points' median, and a text with their footprints."""
    value, unit, words = figure(median([each.median_cost for each in points]))
    first, last = (format_bytes(each.footprint_bytes) for each in (points[0], points[-1]))
    return value, unit, f"{words} at {first}" if len(points) == 1 else f"{words} from {first} to {last}"


def level_findings(
    benchmark: str,
    of: str,
    curve: Sequence[CurvePoint],
    known: Sequence[KnownCache],
    last_level_cache_bytes: int | None,
    figure: Figure,
    least_ratio: float = MIN_LEVEL_RATIO,
) -> Iterator[Finding]:
    """The cost of each level and its end, beside the size that the system reports; the curve in rising order.

    ``of`` names the curve if the benchmark has several. The figure of memory is of the points that are
    clearly beyond all caches, though its level may begin before: some of them may lie in a cache whose
    step does not show.
    """
    found = levels([(each.footprint_bytes, each.undisturbed_cost) for each in curve], least_ratio)
    memory_bytes = memory_from_bytes(last_level_cache_bytes)
    names = level_names(found, known, memory_bytes)
    prefix, about = (f"{of}_", f"{of}: ") if of else ("", "")
    for level, (name, cache) in zip(found, names, strict=True):
        first = max(level.first_bytes, memory_bytes) if name == "memory" else level.first_bytes
        points = [each for each in curve if first <= each.footprint_bytes <= level.last_bytes]
        value, unit, words = figure_of(points, figure)
        if name == "memory":
            words += memory_proviso(last_level_cache_bytes)
        elif level.ends_bytes is None:
            short = curve[-1].footprint_bytes < memory_bytes
            lack = "the curve does not reach memory" if short else "no level is seen in memory"
            words += f"; {lack}, which is taken to begin at {format_bytes(memory_bytes)}"
        yield Finding(benchmark, prefix + _slug(name), f"{about}{name}: {words}", value, unit)
        if level.ends_bytes is not None:
            ended = cache.name if cache else name
            unknown = "no known cache ends near there" if known else "no caches are known"
            given = f"its size is given as {format_bytes(cache.nbytes)}" if cache else unknown
            text = f"{about}{ended} ends after {format_bytes(level.ends_bytes)}; {given}"
            yield Finding(benchmark, f"{prefix}{_slug(ended)}_end", text, float(level.ends_bytes), "byte")
    seen = [cache for _, cache in names if cache]
    for cache in known:
        within = curve and curve[0].footprint_bytes < cache.nbytes < curve[-1].footprint_bytes
        if within and cache not in seen:
            step, size = f"{least_ratio:g}x", format_bytes(cache.nbytes)
            text = f"{about}no step of {step} or more marks the end of {cache.name}, given as {size}"
            yield Finding(benchmark, f"{prefix}{_slug(cache.name)}_unseen", text, float(cache.nbytes), "byte")


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_")


_Piece = tuple[int, int]
"""Index of its first point, and of the one after its last."""


def _pieces(curve: Sequence[tuple[int, float]]) -> list[_Piece]:
    """Optimal partitioning (Jackson et al., 2005): the best cut of the first n points, for each n."""
    logs = [math.log2(cost) for _, cost in curve]
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(logs) + 1):
        best.append(
            min((best[begin][0] + _spread(logs[begin:end]) + PIECE_PRICE, begin) for begin in range(end))
        )
    pieces, end = [], len(logs)
    while end:
        pieces.append((best[end][1], end))
        end = best[end][1]
    return pieces[::-1]


def _spread(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _is_plateau(curve: Sequence[tuple[int, float]], piece: _Piece) -> bool:
    begin, end = piece
    octaves = math.log2(curve[end - 1][0] / curve[begin][0])
    return octaves >= MIN_LEVEL_OCTAVES or (end == len(curve) and octaves > 0)


def _merged(
    curve: Sequence[tuple[int, float]], plateaus: Sequence[_Piece], least_ratio: float
) -> list[_Piece]:
    """A level costs more than the one before by ``least_ratio``: a plateau that does not is merged into it.

    That may make it cheaper than the level before, with which it is then merged likewise.
    """
    merged: list[_Piece] = []
    for plateau in plateaus:
        while merged and _cost(curve, plateau) < least_ratio * _cost(curve, merged[-1]):
            plateau = (merged.pop()[0], plateau[1])
        merged.append(plateau)
    return merged


def _cost(curve: Sequence[tuple[int, float]], piece: _Piece) -> float:
    return median([cost for _, cost in curve[piece[0] : piece[1]]])
