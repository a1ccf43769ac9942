"""Theoretical peaks: technologies, boards, published measurements, and the arithmetic."""

from gpubench.catalog.links import pcie_bytes_per_second
from gpubench.catalog.load import (
    Board,
    Claim,
    Family,
    PublishedSeries,
    Technology,
    boards,
    claims,
    families,
    published,
    technologies,
)
from gpubench.catalog.lookup import (
    board_for_device,
    find_board,
    find_technology,
    published_for,
    technology_for,
)
from gpubench.catalog.theory import (
    board_peak_bytes_per_second,
    live_clock_peak,
    peak_bytes_per_second,
    per_module_bytes_per_second,
    per_pin_bits_per_second,
    theory_for_device,
)

__all__ = [
    "Board",
    "Claim",
    "Family",
    "PublishedSeries",
    "Technology",
    "board_for_device",
    "board_peak_bytes_per_second",
    "boards",
    "claims",
    "families",
    "find_board",
    "find_technology",
    "live_clock_peak",
    "pcie_bytes_per_second",
    "peak_bytes_per_second",
    "per_module_bytes_per_second",
    "per_pin_bits_per_second",
    "published",
    "published_for",
    "technologies",
    "technology_for",
    "theory_for_device",
]
