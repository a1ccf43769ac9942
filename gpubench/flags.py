"""Every validity flag: what it means, what to do about it, and what a figure that bears it is not used for.

Which measurements get a flag is decided in ``measure/validity.py``. The sentences here are general;
``report/flag_notes.py`` says the same with a run's own numbers where the run document has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Flag = Literal[
    "cached_footprint",
    "cache_unknown",
    "over_theory",
    "unstable",
    "drifting",
    "clock_limited",
    "power_limited",
    "thermal_limited",
    "contended",
    "throttled",
    "unverified",
]

Effect = Literal["no_gauge", "not_comparable", "no_verdict", "no_projection", "unsteady", "slows"]

EFFECTS: dict[Effect, str] = {
    "no_gauge": "The figure does not change the service's gauges: they keep the last valid one.",
    "not_comparable": (
        "The figure is not the memory's own: compared with other runs it is NOT COMPARABLE, and it heads "
        "a report only if there is no other."
    ),
    "no_verdict": "Compared with other runs it gets no FASTER, SLOWER or SAME, only AMBIGUOUS.",
    "no_projection": "The efficiency is not projected onto GDDR7.",
    "unsteady": "The next run may well give a different figure: the gauge `gpubench_last_run_stable` is 0.",
    "slows": "It may explain a slow window of `sustained`: the finding on that window names it.",
}
"""What a flag does, in the order of the columns of docs/flags.md."""


@dataclass(frozen=True)
class FlagInfo:
    """One row: ``meaning`` and ``remedy`` are sentences; ``effects`` are keys of ``EFFECTS``."""

    meaning: str
    remedy: str
    effects: frozenset[Effect]


FLAGS: dict[Flag, FlagInfo] = {
    "cached_footprint": FlagInfo(
        "The footprint is too small to keep the caches out: part of the figure is cache bandwidth.",
        "Free memory, or ask for a larger footprint; do not compare this figure with others.",
        frozenset({"no_gauge", "not_comparable", "no_projection"}),
    ),
    "cache_unknown": FlagInfo(
        "The size of the last-level cache is unknown, so the cache may be part of the figure.",
        "Repeat with twice the footprint; a figure that stays the same is the memory's.",
        frozenset({"no_projection"}),
    ),
    "over_theory": FlagInfo(
        "The figure is above the theoretical peak: a cache is part of it, or the peak is wrong.",
        "Treat it as an error: enlarge the footprint, and check the bus width and the data rate.",
        frozenset({"no_gauge", "not_comparable", "no_projection"}),
    ),
    "unstable": FlagInfo(
        "The interval is wide, the samples are too few for one, or they fall into two groups.",
        "Repeat on a quiet machine, with a longer time limit.",
        frozenset({"no_projection", "unsteady"}),
    ),
    "drifting": FlagInfo(
        "The samples became slower or faster while measuring, as when a device warms up or cools down.",
        "Repeat on the warm device, or with a longer time limit.",
        frozenset({"no_projection", "unsteady"}),
    ),
    # A GeForce clocks its memory down for CUDA work whatever its modules: the efficiency stays the board's.
    "clock_limited": FlagInfo(
        "The memory ran well below its nominal clock.",
        "Read the fraction at the live clock too. Unlock a locked memory clock: nvidia-smi -rmc.",
        frozenset({"slows"}),
    ),
    "power_limited": FlagInfo(
        "Clocks were lowered to stay within the power limit, or by the hardware for no stated reason.",
        "Check power limit, supply and cooling; compare only runs under the same limit.",
        frozenset({"no_projection", "unsteady", "slows"}),
    ),
    "thermal_limited": FlagInfo(
        "The driver lowered clocks because the device was hot.",
        "Check fans, dust and airflow, let the device cool, and repeat.",
        frozenset({"no_projection", "unsteady", "slows"}),
    ),
    "contended": FlagInfo(
        "Other programs used the device, or the host's processors, at the same time.",
        "Stop the other work, or move it elsewhere, and repeat.",
        frozenset({"no_verdict", "no_projection", "unsteady", "slows"}),
    ),
    "throttled": FlagInfo(
        "The quota of a control group (a container's CPU limit) stopped threads while they measured.",
        "Raise or remove the quota, or give the run as many cores as it allows.",
        frozenset({"no_projection", "unsteady", "slows"}),
    ),
    "unverified": FlagInfo(
        "The data were wrong after the benchmark: there is no figure.",
        "Repeat; if it happens again, suspect the memory, its clock or the driver before the program.",
        frozenset({"no_gauge", "not_comparable", "no_projection"}),
    ),
}
"""In the order in which flags are listed everywhere."""


def ordered(found: Iterable[Flag]) -> tuple[Flag, ...]:
    """Each flag once, in the order of the table."""
    present = set(found)
    return tuple(flag for flag in FLAGS if flag in present)


def flags_with(effect: Effect, among: Iterable[Flag] = FLAGS) -> tuple[Flag, ...]:
    """The flags, of all or of these, that have this effect; in the order of the table."""
    return tuple(flag for flag in ordered(among) if effect in FLAGS[flag].effects)
