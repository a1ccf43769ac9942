"""The levels of a memory, found from what an access costs over the footprint, and their names.

A level is a plateau of the curve. The costs' logarithms are cut into pieces of equal cost so that
the squared distances from the pieces' means, with a price for each piece, are least. Pieces shorter
than an octave are the slope between two levels; neighbours that hardly differ are one level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpubench.devices import host
from gpubench.measure.statistics import median
from gpubench.results.document import DeviceInfo, Finding
from gpubench.units import format_bytes

PIECE_PRICE = 0.5
"""In squared octaves of cost: as much as seven points that lie 20 % off cost."""

MIN_LEVEL_OCTAVES = 1.0
MIN_LEVEL_RATIO = 1.5
"""Levels whose costs differ by less are one: the translation of addresses makes slopes too."""

MAX_NAME_OCTAVES = 2.0
"""A step this far from where a cache is said to end is still its step: caches are shared with others."""


@dataclass(frozen=True)
class Level:
    """Footprints from ``first_bytes`` to ``last_bytes`` cost ``cost``.

    ``ends_bytes`` is the last footprint that costs less than the geometric mean of this level and the
    next; None for the last level.
    """

    first_bytes: int
    last_bytes: int
    cost: float
    ends_bytes: int | None


@dataclass(frozen=True)
class KnownCache:
    """A cache as the device or the host describes it."""

    name: str
    nbytes: int


def ladder(least_bytes: int, most_bytes: int) -> list[int]:
    """Powers of two and the halves between: 4, 6, 8, 12, 16 KiB ..."""
    powers = [1 << exponent for exponent in range(64)]
    sizes = sorted(powers + [3 * power for power in powers])
    return [size for size in sizes if least_bytes <= size <= most_bytes]


def levels(curve: Sequence[tuple[int, float]]) -> list[Level]:
    """Of (footprint in bytes, cost of an access or a byte), in rising order; costs are above 0."""
    plateaus = _merged(curve, [piece for piece in _pieces(curve) if _is_plateau(curve, piece)])
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


def known_caches(info: DeviceInfo, *, together: bool) -> list[KnownCache]:
    """Smallest first: a processor's as one core has them, or those of all cores together."""
    if info.kind == "cpu":
        return [
            KnownCache(f"L{cache.level}", cache.nbytes * (cache.instances if together else 1))
            for cache in host.data_caches()
        ]
    return [KnownCache("L2", info.last_level_cache_bytes)] if info.last_level_cache_bytes else []


def level_names(found: Sequence[Level], known: Sequence[KnownCache]) -> list[tuple[str, KnownCache | None]]:
    """Each level's name, with the cache that it is named after.

    A level takes the name of the cache whose size is nearest to where it ends, in rising order;
    without one it is called by its number. The last level is the memory.
    """
    names: list[tuple[str, KnownCache | None]] = []
    left = list(known)
    for number, level in enumerate(found[:-1]):
        ends = level.ends_bytes or level.last_bytes
        cache = min(left, key=lambda each: abs(math.log2(each.nbytes / ends)), default=None)
        if cache and abs(math.log2(cache.nbytes / ends)) <= MAX_NAME_OCTAVES:
            left = left[left.index(cache) + 1 :]
            names.append((cache.name, cache))
        else:
            names.append((f"level {number + 1}", None))
    return [*names, ("memory", None)] if found else []


def level_findings(
    benchmark: str,
    of: str,
    curve: Sequence[tuple[int, float]],
    known: Sequence[KnownCache],
    figure: Callable[[float], tuple[float, str, str]],
) -> Iterator[Finding]:
    """What each level costs and where it ends, beside what is said of it.

    ``of`` tells curves of one benchmark apart; ``figure`` makes value, unit and words of a cost.
    """
    found = levels(curve)
    names = level_names(found, known)
    prefix, about = (f"{of}_", f"{of}: ") if of else ("", "")
    for level, (name, cache) in zip(found, names, strict=True):
        value, unit, words = figure(level.cost)
        slug = prefix + name.lower().replace(" ", "_")
        span = f"{format_bytes(level.first_bytes)} to {format_bytes(level.last_bytes)}"
        yield Finding(benchmark, slug, f"{about}{name}: {words} from {span}", value, unit)
        if level.ends_bytes is not None:
            said = f"it is said to be {format_bytes(cache.nbytes)}" if cache else "no cache is known there"
            text = f"{about}{name} ends after {format_bytes(level.ends_bytes)}; {said}"
            yield Finding(benchmark, f"{slug}_end", text, float(level.ends_bytes), "byte")
    seen = [cache for _, cache in names if cache]
    for cache in known:
        if cache not in seen and curve and curve[0][0] < cache.nbytes < curve[-1][0]:
            size = format_bytes(cache.nbytes)
            text = f"{about}no step is seen near the {size} that {cache.name} is said to be"
            yield Finding(
                benchmark, f"{prefix}{cache.name.lower()}_unseen", text, float(cache.nbytes), "byte"
            )


_Piece = tuple[int, int]
"""From the first of its points to behind its last."""


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


def _merged(curve: Sequence[tuple[int, float]], plateaus: Sequence[_Piece]) -> list[_Piece]:
    """A level costs more than the one before: what does not, or hardly, belongs to it.

    What it takes in may make it cheaper than the one before it, which then takes it in likewise.
    """
    merged: list[_Piece] = []
    for plateau in plateaus:
        while merged and _cost(curve, plateau) < MIN_LEVEL_RATIO * _cost(curve, merged[-1]):
            plateau = (merged.pop()[0], plateau[1])
        merged.append(plateau)
    return merged


def _cost(curve: Sequence[tuple[int, float]], piece: _Piece) -> float:
    return median([cost for _, cost in curve[piece[0] : piece[1]]])
