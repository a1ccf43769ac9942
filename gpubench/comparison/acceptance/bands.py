"""The published band: which share of its theory a board, or its class of memory, reached elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from gpubench.catalog.load import Board, boards
from gpubench.catalog.lookup import find_board, published_for
from gpubench.catalog.theory import board_peak_bytes_per_second
from gpubench.comparison.acceptance.spread import BETWEEN_HOSTS_RATIO, MAX_MARGIN_RATIO
from gpubench.errors import CatalogError
from gpubench.results.machine import Theory
from gpubench.units import GB, format_percent

_KERNELS = {
    **dict.fromkeys(("copy", "scale", "add", "triad"), frozenset({"copy", "scale", "add", "triad"})),
    **dict.fromkeys(("read", "dot"), frozenset({"read", "dot"})),
    "write": frozenset({"write"}),
}
"""Benchmarks of one mix of reads and writes reach nearly the same: their published figures are one band."""

LEAST_RATIO = 0.8
"""A published figure below this share of theory shows either a program that does not saturate the memory (one
reaches 57 % of an H200's with its reads, and 66 % with its copies) or a board that cannot do more (a T4 with
inline ECC). Nothing is expected of a board because of it."""

FEWEST_BOARDS = 2
"""Of a class: one board's figures say nothing about another's."""


@dataclass(frozen=True)
class Band:
    """Shares of the theory, 0 to 1.

    The floor of a board is its lowest published figure, or as far below the median as hosts differ, whichever
    is lower; that of a class as far below the lowest figure of any of its boards and benchmarks.
    """

    link: Literal["board", "class"]
    median_ratio: float
    floor_ratio: float
    why: str

    @property
    def margin_ratio(self) -> float:
        return 1 - self.floor_ratio / self.median_ratio


def band_for(theory: Theory | None, benchmark: str) -> Band | str:
    """The band of the theory's board, else of its vendor's boards with this memory; or why there is none."""
    if theory is None:
        return "the theory of this memory is not known"
    if theory.board is None:
        return "the board is not in the catalogue"
    try:
        board = find_board(theory.board)
    except CatalogError:  # a document of a program with another catalogue
        return f"the catalogue has no board {theory.board}"
    if own := _preferred(board, benchmark):
        lowest = min(ratio for _, ratio in own)
        usual = median(ratio for _, ratio in own)
        floor = min(lowest, usual * (1 - BETWEEN_HOSTS_RATIO))
        return _band("board", usual, floor, f"{_counted(own)} of this board")
    if _ratios(board, benchmark) or any(ratio < LEAST_RATIO for _, ratio in _ratios(board)):
        return f"what is published of this board is below {format_percent(LEAST_RATIO)} of theory"
    peers = [each for each in boards() if (each.vendor, each.family) == (board.vendor, board.family)]
    found = [each for peer in peers for each in _preferred(peer, benchmark)]
    name = f"{board.vendor} boards with {board.family}"
    if len({peer for peer, _ in found}) < FEWEST_BOARDS:
        return f"{benchmark} is published of too few {name}"
    lowest = min(ratio for kernel in _KERNELS for peer in peers for _, ratio in _preferred(peer, kernel))
    usual = median(ratio for _, ratio in found)
    return _band("class", usual, lowest * (1 - BETWEEN_HOSTS_RATIO), f"{_counted(found)} of {name}")


def _counted(found: Sequence[tuple[str, float]]) -> str:
    lowest, highest = (format_percent(each(ratio for _, ratio in found)) for each in (min, max))
    if len(found) == 1:
        return f"one published figure ({lowest} of theory)"
    return f"{len(found)} published figures ({lowest} to {highest} of theory)"


def _band(link: Literal["board", "class"], usual: float, floor: float, why: str) -> Band | str:
    if 1 - floor / usual > MAX_MARGIN_RATIO:
        return f"the {why} are too far apart"
    return Band(link, usual, floor, why)


def _preferred(board: Board, benchmark: str) -> list[tuple[str, float]]:
    """Plausible figures: of gpubench if there are any, since other programs differ in what they reach."""
    return _plausible(_ratios(board, benchmark, only_gpubench=True)) or _plausible(_ratios(board, benchmark))


def _ratios(
    board: Board, benchmark: str | None = None, *, only_gpubench: bool = False
) -> list[tuple[str, float]]:
    """The board, and each published figure's share of its theory, of such a benchmark or of all of them."""
    kernels = _KERNELS.get(benchmark, frozenset()) if benchmark else frozenset(_KERNELS)
    return [
        (board.id, figure.gb_per_second * GB / board_peak_bytes_per_second(board))
        for series in published_for(board)
        if not only_gpubench or series.tool.startswith("gpubench ")
        for figure in series.figures
        if kernels & set(re.split(r"[^a-z-]+", figure.kernel.lower()))
    ]


def _plausible(found: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(board, ratio) for board, ratio in found if LEAST_RATIO <= ratio <= 1]
