"""What flags mean, what to do about them, and which intervals hold, in words: once for every rendering."""

from __future__ import annotations

from typing import NamedTuple

from gpubench.measure.statistics import MIN_EFFECTIVE_SAMPLES
from gpubench.results.document import Flag, Measurement

RANGE_MARK = "(range)"
RANGE = (
    f"A figure marked {RANGE_MARK} has no 95 % interval: its samples are too few, or depend too much on each "
    "other. What is shown is the lowest to the highest of them; another run's median may lie outside."
)


class Words(NamedTuple):
    meaning: str
    remedy: str


FLAGS: dict[Flag, Words] = {
    "cached_footprint": Words(
        "The arrays were too small for the cache in front of the memory: part of the figure is cache.",
        "Free memory or ask for a larger footprint; compare nothing with this figure.",
    ),
    "cache_unknown": Words(
        "The size of the last-level cache is not known, so nobody can say that it took no part.",
        "Repeat with twice the footprint; a figure that stays is the memory's.",
    ),
    "over_theory": Words(
        "The figure is above the theoretical peak, so a cache or a wrong peak is in it.",
        "Take it for a mistake until explained: enlarge the footprint, check bus width and data rate.",
    ),
    "unstable": Words(
        "The samples did not settle: the interval is wide or of very few, or they fall into two groups.",
        "Repeat on a quiet machine and with a longer time limit.",
    ),
    "drifting": Words(
        "The samples went one way while measuring, as they do while a device warms up or cools down.",
        "Repeat on the warm device, or with a longer time limit.",
    ),
    "clock_limited": Words(
        "The memory ran below its nominal clock; many boards do whenever they compute.",
        "Read the fraction at the live clock beside the nominal one. Do not lock the clocks for it.",
    ),
    "power_limited": Words(
        "Clocks were lowered to hold the power limit, or by the hardware, which tells no reason.",
        "Check the power limit, the supply and the cooling; compare with runs that had the same limit only.",
    ),
    "thermal_limited": Words(
        "The driver lowered clocks because the device was hot.",
        "Check fans, dust and the air around it, let it cool, and repeat.",
    ),
    "contended": Words(
        "Something else used the device, or the host's processors, at the same time.",
        "Stop the other work, or move it away, and repeat.",
    ),
    "unverified": Words(
        "The data were not what they should be after the benchmark: there is no figure.",
        "Repeat; if it stays, suspect the memory, its clock or the driver before the program.",
    ),
}


def explain(flag: Flag) -> str:
    """The meaning and the remedy, as one text."""
    return f"{FLAGS[flag].meaning} {FLAGS[flag].remedy}"


def interval(measurement: Measurement, low: str, high: str) -> str:
    """``25.25 to 44.02``, and the mark where too few independent samples stand behind it."""
    effective = measurement.effective_samples
    holds = effective is None or effective >= MIN_EFFECTIVE_SAMPLES
    return f"{low} to {high}" if holds else f"{low} to {high} {RANGE_MARK}"
