"""An answer as tables and lines of text, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpubench.comparison.acceptance.faults import SEVERITY
from gpubench.comparison.acceptance.verdict import CheckReport, Claim, DeviceVerdict
from gpubench.report.text_table import UNKNOWN, Table, clean
from gpubench.units import format_bandwidth, format_percent, format_seconds

_COLUMNS = ("status", "code", "claim", "figure", "of theory", "expected", "limit", "margin", "attempts")


def heading(device: DeviceVerdict) -> str:
    """``DEGRADED NVIDIA GeForce RTX 5090 (gpu0, 0000:01:00.0, host a)``"""
    details = ", ".join(filter(None, (device.id, device.hardware_id, device.host)))
    name = f" {device.name}{f' ({details})' if details else ''}" if device.name else ""
    return clean(f"{device.status}{name}")


def claim_table(device: DeviceVerdict) -> Table:
    return Table("", _COLUMNS, tuple(map(_row, device.claims)), text_columns=3)


def _row(claim: Claim) -> tuple[str, ...]:
    expected = claim.expected
    return (
        claim.status,
        claim.code or UNKNOWN,
        clean(claim.name),
        shown(claim, claim.figure),
        format_percent(claim.theory_ratio) if claim.theory_ratio is not None else UNKNOWN,
        shown(claim, expected.value if expected else None),
        shown(claim, expected.limit if expected else None),
        format_percent(expected.margin_ratio) if expected else UNKNOWN,
        passed(claim),
    )


def shown(claim: Claim, value: float | None) -> str:
    """A value of the claim in its unit."""
    if value is None:
        return UNKNOWN
    if claim.unit in _UNITS:
        return _UNITS[claim.unit](value)
    return f"{value:g} {claim.unit or ''}".strip()


_UNITS: dict[str, Callable[[float], str]] = {
    "byte/s": format_bandwidth,
    "s": format_seconds,
    "ratio": format_percent,
}


def passed(claim: Claim) -> str:
    """``2 of 3``; empty if the claim has no attempts."""
    if not claim.attempts:
        return UNKNOWN
    return f"{sum(each.result == 'pass' for each in claim.attempts)} of {len(claim.attempts)}"


def notes(device: DeviceVerdict) -> list[str]:
    """What is wrong and what to do, then where each expectation came from, each line once."""
    return [clean(line) for line in dict.fromkeys((*_faults(device), *_sources(device)))]


def _faults(device: DeviceVerdict) -> Iterator[str]:
    """Claims of which the same is to be said share a line, which then has no figures."""
    alike: dict[tuple[str, str, str], list[Claim]] = {}
    for claim in device.claims:
        if claim.code:
            said = claim.text.partition(", but ")[2] or claim.text
            alike.setdefault((claim.code, said, claim.action or ""), []).append(claim)
    for (code, said, action), claims in alike.items():
        names = ", ".join(claim.name.removeprefix("bandwidth of ") for claim in claims)
        yield f"{code}: {claims[0].text if len(claims) == 1 else f'{names}: {said}'}. {action}"
    for claim in device.claims:
        yield from (f"warning: {warning}" for warning in claim.warnings)


def _sources(device: DeviceVerdict) -> Iterator[str]:
    for claim in device.claims:
        if claim.expected:
            yield (
                f"{claim.name}: expected by {claim.expected.why}; margin "
                f"{format_percent(claim.expected.margin_ratio)}, {claim.expected.margin_why}"
            )
        if claim.not_used and claim.expected:
            yield f"{claim.name}: not used: {'; '.join(claim.not_used)}"


def summary(report: CheckReport) -> str:
    """One line: how many devices have which status, and how long the check took."""
    counts = [
        f"{count} {status}"
        for status in reversed(SEVERITY)
        if (count := sum(each.status == status for each in report.devices))
    ]
    took = f", checked in {format_seconds(report.check_seconds)}" if report.check_seconds else ""
    measured = next((device.checked_at for device in report.devices if device.checked_at), None)
    old = f", from stored runs, the newest of {measured}" if report.source == "store" and measured else ""
    return clean(f"{report.status}: {', '.join(counts)}{took}{old}")
