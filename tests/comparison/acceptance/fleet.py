"""Runs of several boards of one model, made in code."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench.comparison.acceptance import Claim, DeviceVerdict, Rules, judge
from gpubench.flags import Flag
from gpubench.results.document import Finding, RunDocument
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


def verdict(runs: list[RunDocument], rules: Rules | None = None, number: int = 1) -> DeviceVerdict:
    """On one of the boards."""
    (found,) = [each for each in judge(runs, rules).devices if each.id == f"cuda:{number}"]
    return found


def claim(found: DeviceVerdict, name: str = "bandwidth of triad") -> Claim:
    (only,) = [each for each in found.claims if each.name == name]
    return only


def integrity(errors: float) -> Finding:
    return Finding("integrity", "errors", f"{errors:g} wrong words", errors, "reads")
