"""Runs of several boards of one model, made in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gpubench.comparison.acceptance import Claim, DeviceVerdict, Rules, judge
from gpubench.flags import Flag
from gpubench.results.document import Finding, Measurement, RunDocument, Summary
from gpubench.results.machine import DeviceInfo, Environment, Host
from tests.documents import document, measurement, rtx_5090


def board(number: int = 1, **fields: Any) -> DeviceInfo:
    changes = {"id": f"cuda:{number}", "hardware_id": f"0000:{number:02x}:00.0", **fields}
    return msgspec.structs.replace(rtx_5090(), **changes)


def run(
    gb_per_second: float, number: int = 1, *flags: Flag, attempt: int = 1, host: str = "a", **fields: Any
) -> RunDocument:
    """A run of triad on a board; ``attempt`` tells runs of one board apart, and orders them."""
    usual: dict[str, Any] = {
        "device": board(number),
        "run_id": f"run-{host}-{number}-{attempt}",
        "created_at": f"2026-01-02T03:{attempt:02}:05.000Z",
        "environment": Environment("0.1.0", "a1b2c3", host=Host(name=host)),
    }
    return document(measurement(gb_per_second, "triad", *flags), **{**usual, **fields})


def latencies(*nanoseconds: float, **fields: Any) -> list[Measurement]:
    """Points of a latency's curve: in memory, at 512 MiB and more, one in a cache, one page by page."""

    def point(seconds: float, footprint: int, order: str = "random") -> Measurement:
        low, high = seconds * 0.999, seconds * 1.001
        return Measurement(
            benchmark="latency",
            parameters={"line_bytes": 128},
            status="ok",
            verified=True,
            quantity="latency",
            unit="s",
            axes={"footprint_bytes": footprint, "order": order},
            footprint_bytes=footprint,
            latency_seconds=Summary(seconds, low, high, low, high, low, high),
            **fields,
        )

    beyond = [point(each * 1e-9, (512 << 20) << number) for number, each in enumerate(nanoseconds)]
    return [point(2e-7, 32 << 20), *beyond, point(3e-7, 512 << 20, "paged")]


def windows(*gb_per_second: float, flags: Mapping[int, Flag] | None = None) -> list[Measurement]:
    """Those of ``sustained``; ``flags`` of some, by their number."""
    return [
        measurement(
            each,
            "sustained",
            *([flags[number]] if flags and number in flags else []),
            parameters={"duration_seconds": None},
            axes={"window": number},
            places={"begin_seconds": float(number)},
        )
        for number, each in enumerate(gb_per_second)
    ]


def run_of(
    measurements: Sequence[Measurement], number: int = 1, *, attempt: int = 1, host: str = "a", **fields: Any
) -> RunDocument:
    """As ``run``, of any measurements."""
    return msgspec.structs.replace(
        run(1, number, attempt=attempt, host=host, **fields), measurements=list(measurements)
    )


def verdict(runs: list[RunDocument], rules: Rules | None = None, number: int = 1) -> DeviceVerdict:
    """On one of the boards."""
    (found,) = [each for each in judge(runs, rules).devices if each.id == f"cuda:{number}"]
    return found


def claim(found: DeviceVerdict, name: str = "bandwidth of triad") -> Claim:
    (only,) = [each for each in found.claims if each.name == name]
    return only


def integrity(errors: float) -> Finding:
    return Finding("integrity", "errors", f"{errors:g} wrong words", errors, "reads")
