"""Colours of devices: the same for a device in every picture, and told apart by colour-blind readers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

LIGHT = ("#0072b2", "#d55e00", "#9933ff", "#4d1919", "#cc7f66", "#000066")
"""On white. A search over hues and lightnesses found them: each has a contrast of 3 or more to the ground,
and any two differ by 28 or more in CIELAB for readers with normal, red-, green- and blue-blind sight."""

DARK = ("#56b4e9", "#e69f00", "#9933ff", "#737326", "#cc0066", "#e5e6b3")
"""The same on the dark page."""

PAPER, NIGHT = "#ffffff", "#15181d"
"""The two grounds."""

INK, MUTED, GRID = "#1c1f24", "#5b626c", "#d9dde2"
"""Text, secondary text and references, and the lines of a grid, on white."""

MOST = len(LIGHT)
"""The most devices that are drawn in one chart of curves."""


def slots(names: Mapping[str, str]) -> Mapping[str, int]:
    """A colour for each label, as a place in ``LIGHT`` and ``DARK``; ``names`` has its device's name.

    The name alone decides, so that a device has its colour in every report, unless another of the same report
    took it before: then it is the next free one. If there are more labels than colours, those of one device
    share its colour.
    """
    if len(names) > MOST:
        devices = slots({name: name for name in list(dict.fromkeys(names.values()))[:MOST]})
        return {label: devices.get(name, _wanted(name)) for label, name in names.items()}
    taken: dict[str, int] = {}
    for label, name in names.items():
        wanted = _wanted(name)
        free = [slot for slot in range(MOST) if slot not in taken.values()] or [wanted]
        taken[label] = min(free, key=lambda slot: (slot - wanted) % MOST)
    return taken


def _wanted(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % MOST
