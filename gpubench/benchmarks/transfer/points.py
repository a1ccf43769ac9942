"""A transfer as a point of a curve: one way, or both ways at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gpubench.devices.base import Copy, Together
from gpubench.measure.series import Point
from gpubench.measure.verification.result import VerificationResult, combined

MAX_BACK_TO_BACK = 40
"""Transfers in a sample: a runtime's queue holds them all before the first begins, also in two queues."""


def one_way(
    direction: str,
    memory: str,
    copy: Copy,
    poison: Callable[[], None],
    verify: Callable[[], VerificationResult],
) -> Point:
    """``memory`` names the other end. The bytes of a transfer count once."""
    return Point(
        operations=[copy],
        payload_bytes=copy.nbytes,
        bus_bytes=copy.nbytes,
        footprint_bytes=copy.nbytes,
        poison=poison,
        verify=verify,
        axes={"direction": direction, "memory": memory, "size_bytes": copy.nbytes},
        caches_wanted=True,
        max_passes=MAX_BACK_TO_BACK,
    )


def both_ways(one: Point, other: Point, copies: tuple[Copy, Copy]) -> Point:
    """Two transfers that begin together; a pass ends when both have ended."""

    def poison() -> None:
        one.poison()
        other.poison()

    return dataclasses.replace(
        one,
        operations=[Together((copies[0],), (copies[1],))],
        payload_bytes=one.payload_bytes + other.payload_bytes,
        bus_bytes=one.bus_bytes + other.bus_bytes,
        footprint_bytes=one.footprint_bytes + other.footprint_bytes,
        poison=poison,
        verify=lambda: combined([one.verify(), other.verify()]),
        axes={**one.axes, "direction": "both"},
    )
