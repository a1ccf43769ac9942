"""How the curves of each benchmark are drawn: one row for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gpubench.comparison.curves import Axis, Curve

Kind = Literal["line", "bars", "map"]

_SAFE = re.compile(r"[a-z][a-z0-9_]{0,60}", re.ASCII)
"""A name with dots, brackets or quotes is a path to Vega."""

_OWN = ("device", "series", "flags")

BY_BANDWIDTH = "bandwidth_gb_per_second"
"""Not an axis of the run document: the latency's own load, which is drawn along the other axis."""


@dataclass(frozen=True)
class Style:
    """``x`` are the axes that a mark's place is made from, joined if there are several.

    ``where`` keeps the points at these places. ``payload`` adds the payload's bandwidth as a line of its
    own, and ``peaks`` the theory of the memory as a line across.
    """

    title: str
    x: tuple[str, ...]
    caption: str
    kind: Kind = "line"
    x_title: str = ""
    log_x: bool = True
    log_y: bool = False
    where: Mapping[str, Axis] = field(default_factory=dict)
    payload: bool = False
    peaks: bool = False

    @property
    def column(self) -> str:
        """The column of a mark's place: its axes, unless a document has names that no column may have."""
        name = "_".join(self.x)
        return name if _SAFE.fullmatch(name) and name not in _OWN else "place"


_RANDOM = (
    "By the size of the pieces. Bus bytes are whole sectors; payload is the part that was asked for. A line "
    "that rises with the piece pays for each access, one that is flat for each byte."
)

STYLES: Mapping[str, Style] = {
    "latency": Style(
        "Latency",
        ("footprint_bytes",),
        "Time of one access that waits for the previous one. Each plateau is a level of cache, and the last "
        "one the memory. Lower is better.",
        log_y=True,
    ),
    "cache_sweep": Style(
        "Bandwidth of caches and memory",
        ("footprint_bytes",),
        "Each plateau is a level of cache, the last one the memory.",
        log_y=True,
        peaks=True,
    ),
    "loaded_latency": Style(
        "Latency under load",
        (BY_BANDWIDTH,),
        "Latency of one thread while all others read faster and faster, from left to right. The further "
        "right the line stays flat, the more load the memory takes before it answers slowly.",
        x_title="bandwidth of the other threads, GB/s",
        log_y=True,
    ),
    "mix": Style(
        "Reads and writes mixed",
        ("reads", "writes"),
        "Parts read to parts written. A bus that loses time when it turns round is slowest in the middle.",
        kind="bars",
        x_title="reads : writes",
    ),
    "pattern": Style(
        "Bandwidth by data",
        ("pattern",),
        "Random data are what all other benchmarks use. A memory or processor that treats zeros differently "
        "shows it here.",
        kind="bars",
    ),
    "strided": Style(
        "Bandwidth by stride",
        ("stride_elements",),
        "Elements of 4 bytes. Where bus bytes stay flat, each doubling of the stride halves the payload.",
        x_title="stride, elements",
        log_y=True,
        where={"offset_elements": 0},
        payload=True,
    ),
    "gather": Style("Random reads", ("piece_bytes",), _RANDOM, log_y=True, payload=True),
    "scatter": Style("Random writes", ("piece_bytes",), _RANDOM, log_y=True, payload=True),
    "update": Style("Random updates", ("piece_bytes",), _RANDOM, log_y=True, payload=True),
    "transfer": Style(
        "Transfers",
        ("size_bytes",),
        "By the size of one copy: small ones pay for the start, large ones show the link.",
        log_y=True,
    ),
    "occupancy": Style(
        "Bandwidth by groups in flight",
        ("groups",),
        "How many groups of threads it takes until the memory is the limit.",
        x_title="groups of threads",
        peaks=True,
    ),
    "launch": Style(
        "Cost of a launch",
        ("launches",),
        "Time of a kernel that does almost nothing, by how many are started together. Lower is better.",
        x_title="launches together",
        log_y=True,
    ),
    "integrity": Style(
        "Test patterns",
        ("pattern",),
        "Speed of each test pattern; the findings name any wrong words.",
        kind="bars",
    ),
    "sustained": Style(
        "Under sustained load",
        ("begin_seconds",),
        "The same work for a while: a line that falls is a device that throttles.",
        x_title="time since the beginning, s",
        log_x=False,
        peaks=True,
    ),
    "map": Style(
        "Map of the memory",
        ("slice",),
        "A square for each slice of free memory, in the order of their places, line by line from the top.",
        kind="map",
    ),
}


def style_of(curve: Curve) -> Style:
    """A benchmark without a row, as of a newer program, is drawn along the axis with most places."""
    if curve.benchmark in STYLES:
        return STYLES[curve.benchmark]
    along = curve.along
    if along is None:
        return Style(curve.benchmark, curve.axes[:1] or ("point",), "", kind="bars")
    return Style(curve.benchmark, (along,), "", log_x=along.endswith("_bytes"))
