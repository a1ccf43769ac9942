"""Answers for programs that read one line and an exit code. Each names the document that its form is from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpubench.comparison.acceptance.faults import SEVERITY, Status
from gpubench.comparison.acceptance.verdict import CheckReport, DeviceVerdict
from gpubench.report.text_table import clean, cut
from gpubench.units import GB

NPD_CHARACTERS = 80
TERMINATION_BYTES = 4096
NHC_CHARACTERS = 200
"""Slurm keeps the reason of a drained node, and shows it in one line."""


@dataclass(frozen=True)
class Line:
    """What goes to stdout, empty for nothing, and the exit code."""

    text: str
    exit_code: int


def nagios(report: CheckReport) -> Line:
    """Monitoring Plugins Development Guidelines: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, and perfdata.

    The warning threshold of each figure is its floor, so that an alert is raised below it, or its ceiling
    if it is a latency.
    """
    words: dict[Status, tuple[int, str]] = {
        "OK": (0, "OK"),
        "DEGRADED": (1, "WARNING"),
        "FAILED": (2, "CRITICAL"),
        "UNKNOWN": (3, "UNKNOWN"),
    }
    code, word = words[report.status]
    # A bar separates the performance data, which is why the text has none.
    text = f"GPUBENCH {word} - {sentence(report)}".replace("|", "/")
    data = " ".join(_performance(report))
    return Line(f"{text} | {data}" if data else text, code)


def _performance(report: CheckReport) -> list[str]:
    several = len(report.devices) > 1
    found = []
    for device in report.devices:
        for claim in device.claims:
            if claim.figure is None or claim.unit not in _MEASURES:
                continue
            name, unit, factor = _MEASURES[claim.unit]
            place = f"{device.host or ''} {device.id or ''} " if several else ""
            label = re.sub(r"[^A-Za-z0-9 _.:=-]", "_", f"{place}{claim.name.removeprefix('bandwidth of ')}")
            label = label.strip().replace("=", ":").replace(" ", "_")
            limit = ""
            if claim.expected:
                end = ":" if claim.expected.ceiling is None else ""  # "9:" warns below 9, "9" above it
                limit = f"{claim.expected.limit * factor:.3f}{end}"
            found.append(f"'{label}{name}'={claim.figure * factor:.3f}{unit};{limit};;0")
    if report.check_seconds is not None:
        found.append(f"'check_seconds'={report.check_seconds:.3f}s;;;0")
    return found


_MEASURES = {"byte/s": ("_GBps", "", 1 / GB), "s": ("", "us", 1e6), "ratio": ("", "%", 100.0)}
"""By the unit of a claim: the end of the label, the unit there, and how many of those one of the claim's is.
The guidelines know no unit for bandwidth."""


def nhc(report: CheckReport) -> Line:
    """LBNL Node Health Check and Slurm's HealthCheckProgram: silent and 0, or one line and 1."""
    if report.status == "OK":
        return Line("", 0)
    return Line(f"gpubench: {cut(sentence(report), NHC_CHARACTERS - 10)}", 1)


def npd(report: CheckReport) -> Line:
    """node-problem-detector, custom plugin monitor: 0 OK, 1 NonOK, 2 Unknown, at most 80 characters."""
    code = {"OK": 0, "UNKNOWN": 2}.get(report.status, 1)
    return Line(cut(sentence(report), NPD_CHARACTERS), code)


def termination(report: CheckReport) -> Line:
    """Kubernetes termination message, at most 4,096 bytes: 0 passed, 1 failed, 2 not decided."""
    code = {"OK": 0, "UNKNOWN": 2}.get(report.status, 1)
    lines = [f"{report.status}: {sentence(report)}"]
    for device in report.devices:
        for claim in device.claims:
            if claim.code:
                lines.append(clean(f"{device.host or ''} {device.id or ''} {claim.code}: {claim.text}"))
                lines.append(clean(f"  {claim.action}"))
    return Line(_cut_bytes("\n".join(lines), TERMINATION_BYTES), code)


def sentence(report: CheckReport) -> str:
    """The worst devices first, each with its codes: ``GB-BW-LOW cuda:0 triad: 1450.0 GB/s ...``."""
    if report.status == "OK":
        names = ", ".join(clean(f"{device.id}: {device.text}") for device in report.devices)
        return f"{len(report.devices)} devices OK: {names}" if len(report.devices) > 1 else names
    bad = sorted(
        (device for device in report.devices if device.status != "OK"),
        key=lambda device: -SEVERITY.index(device.status),
    )
    return "; ".join(clean(f"{' '.join(device.codes)} {_place(device)}{device.text}") for device in bad)


def _place(device: DeviceVerdict) -> str:
    return f"{device.id}: " if device.id else ""


def _cut_bytes(text: str, size: int) -> str:
    """Whole characters only."""
    data = text.encode()
    return text if len(data) <= size else f"{data[: size - 3].decode(errors='ignore')}..."
