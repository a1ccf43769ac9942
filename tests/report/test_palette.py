"""Colours that everybody can tell apart, on both grounds, and that stay with their device."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from gpubench.report.palette import DARK, LIGHT, MOST, NIGHT, PAPER, slots

# Machado, Oliveira and Fernandes 2009, severity 1: how linear RGB looks without one kind of cone.
SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}


def linear(color: str) -> list[float]:
    values = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]


def luminance(color: list[float]) -> float:
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), color, strict=True))


def lab(color: list[float]) -> tuple[float, float, float]:
    r, g, b = color
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        luminance(color),
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize(("palette", "ground"), [(LIGHT, PAPER), (DARK, NIGHT)])
def test_contrast_and_distance(palette: tuple[str, ...], ground: str) -> None:
    for color in palette:
        low, high = sorted(luminance(linear(each)) for each in (color, ground))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2, for graphics
    for sight in SIGHTS.values():
        seen = [
            lab(
                [min(1, max(0, sum(a * b for a, b in zip(row, linear(color), strict=True)))) for row in sight]
            )
            for color in palette
        ]
        assert min(math.dist(*pair) for pair in combinations(seen, 2)) >= 25


def test_a_device_keeps_its_colour_beside_any_others() -> None:
    alone = slots({"RTX 5090": "RTX 5090"})["RTX 5090"]
    many = slots({"RTX 5090": "RTX 5090", **{f"other {n}": f"other {n}" for n in range(MOST - 1)}})
    assert many["RTX 5090"] == alone
    assert len(set(many.values())) == MOST


def test_twins_of_a_fleet_share_the_colour_of_their_device() -> None:
    fleet = slots({f"node {n}": "RTX 5090" for n in range(50)} | {"guest": "RTX 4090"})
    assert {fleet[f"node {n}"] for n in range(50)} == {slots({"x": "RTX 5090"})["x"]} != {fleet["guest"]}
