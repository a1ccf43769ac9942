"""Answers as files for other programs: JSON, JUnit XML, CTRF, Prometheus' textfile format, Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from gpubench.comparison.acceptance.faults import SEVERITY
from gpubench.comparison.acceptance.verdict import SCHEMA, CheckReport, Claim, DeviceVerdict
from gpubench.report.dialects.table import claim_table, heading, notes, summary
from gpubench.report.markdown import escape, markdown_table
from gpubench.results.schema import DIALECT, json_schema
from gpubench.results.timestamps import milliseconds

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def check_schema() -> dict[str, Any]:
    """The JSON Schema of an answer, for programs in other languages; it allows unknown fields."""
    return {"$schema": DIALECT, "title": f"gpubench check, version {SCHEMA}"} | json_schema(CheckReport)


def json_text(report: CheckReport) -> str:
    """The report itself; its schema is docs/check.schema.json."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def markdown(report: CheckReport) -> str:
    parts = ["# Check", f"**{escape(summary(report))}**"]
    for device in report.devices:
        parts += [f"## {escape(heading(device))}", markdown_table(claim_table(device))]
        parts.append("\n".join(f"- {escape(line)}" for line in notes(device)))
    return "\n\n".join(part for part in parts if part) + "\n"


def junit(report: CheckReport) -> str:
    """A suite for each device and a case for each claim: a fault is a failure, what is not known an error."""
    suites = ET.Element("testsuites", {"name": "gpubench check", **_counts(_claims(report))})
    for device in report.devices:
        attributes = {
            "name": _xml(_named(device)),
            "timestamp": report.made_at.removesuffix("Z"),
            "time": f"{device.run_seconds or 0:.3f}",
            **_counts(device.claims),
        }
        suite = ET.SubElement(suites, "testsuite", attributes)
        if device.host:
            suite.set("hostname", _xml(device.host))
        for claim in device.claims:
            case = ET.SubElement(
                suite, "testcase", name=_xml(claim.name), classname="gpubench.check", time="0"
            )
            if claim.code:
                kind = "error" if claim.status == "UNKNOWN" else "failure"
                wrong = ET.SubElement(case, kind, type=claim.code, message=_xml(claim.text))
                wrong.text = _xml(f"{claim.text}\n{claim.action or ''}")
            else:
                ET.SubElement(case, "system-out").text = _xml(claim.text)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _counts(claims: Iterable[Claim]) -> dict[str, str]:
    found = list(claims)
    unknown = sum(claim.status == "UNKNOWN" for claim in found)
    bad = sum(claim.status in ("DEGRADED", "FAILED") for claim in found)
    return {"tests": str(len(found)), "failures": str(bad), "errors": str(unknown), "skipped": "0"}


def _xml(text: str) -> str:
    return _NO_XML.sub("�", text)


def ctrf(report: CheckReport) -> str:
    """Common Test Report Format (ctrf.io): what is not known is ``other``, and never ``passed``."""
    ended = milliseconds(report.made_at) or 0
    took = round((report.check_seconds or 0) * 1000)
    words = {"OK": "passed", "UNKNOWN": "other"}
    tests = [
        {
            "name": f"{_named(device)}: {claim.name}",
            "status": words.get(claim.status, "failed"),
            "rawStatus": claim.status,
            "duration": 0,
            "suite": [_named(device)],
            "message": claim.text,
            **({"tags": [claim.code]} if claim.code else {}),
        }
        for device in report.devices
        for claim in device.claims
    ]
    counts = {
        word: sum(test["status"] == word for test in tests)
        for word in ("passed", "failed", "pending", "skipped", "other")
    }
    times = {"start": ended - took, "stop": ended}
    body = {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "timestamp": report.made_at,
        "generatedBy": "gpubench",
        "results": {
            "tool": {"name": "gpubench", "version": report.program_version},
            "summary": {"tests": len(tests), **counts, "suites": len(report.devices), **times},
            "tests": tests,
        },
    }
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def prometheus(report: CheckReport) -> str:
    """For the node exporter's textfile collector, which reads every ``*.prom`` of its folder."""
    lines = []
    for name, text, rows in _families(report):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_labels(labels)} {value!r}" for labels, value in rows]
    return "\n".join(lines) + "\n"


_Rows = list[tuple[dict[str, str], float]]


def _families(report: CheckReport) -> list[tuple[str, str, _Rows]]:
    devices = [(device, _device_labels(device)) for device in report.devices]
    claims = [
        (claim, {**labels, "claim": claim.name}) for device, labels in devices for claim in device.claims
    ]
    took: _Rows = [({}, report.check_seconds)] if report.check_seconds is not None else []
    prefix = "gpubench_check"
    return [
        (
            f"{prefix}_status",
            "Verdict on a device: 1 for the status that it has, else 0.",
            [
                ({**labels, "status": status}, float(device.status == status))
                for device, labels in devices
                for status in SEVERITY
            ],
        ),
        (
            f"{prefix}_fault",
            "1 for each fault code of a claim.",
            [({**labels, "code": claim.code}, 1.0) for claim, labels in claims if claim.code],
        ),
        *(family for unit in _MEASURED for family in _figures(claims, unit)),
        (
            f"{prefix}_run_end_time_seconds",
            "When the newest run of the device ended, as Unix time.",
            [(labels, _seconds(device.checked_at)) for device, labels in devices if device.checked_at],
        ),
        (
            f"{prefix}_time_seconds",
            "When this answer was made, as Unix time.",
            [({}, _seconds(report.made_at))],
        ),
        (f"{prefix}_duration_seconds", "How long the check took.", took),
    ]


_MEASURED = {
    "byte/s": ("bandwidth", "bytes_per_second"),
    "s": ("latency", "seconds"),
    "ratio": ("sustained", "ratio"),
}
"""By the unit of a claim: what its figure is, and the unit in the names of metrics."""


def _figures(claims: Sequence[tuple[Claim, dict[str, str]]], unit: str) -> Iterator[tuple[str, str, _Rows]]:
    """The figures in this unit, what is expected, and the limit; nothing if there are none."""
    what, suffix = _MEASURED[unit]
    figures = [(claim, labels) for claim, labels in claims if claim.unit == unit and claim.figure is not None]
    if not figures and unit != "byte/s":
        return
    held = [(claim.expected, labels) for claim, labels in figures if claim.expected is not None]
    # Those of bandwidth, the first there were, have no word for it.
    own = "" if unit == "byte/s" else f"{what}_"
    limit, side = ("ceiling", "Above") if unit == "s" else ("floor", "Below")
    prefix = "gpubench_check"
    yield (
        f"{prefix}_{what}_{suffix}",
        "Median of the attempts that count.",
        [(labels, claim.figure) for claim, labels in figures if claim.figure is not None],
    )
    yield (
        f"{prefix}_{own}{limit}_{suffix}",
        f"{side} it the figure is a fault.",
        [(labels, expected.limit) for expected, labels in held],
    )
    yield (
        f"{prefix}_{own}expected_{suffix}",
        f"What the {what} is expected to be.",
        [(labels, expected.value) for expected, labels in held],
    )


def _device_labels(device: DeviceVerdict) -> dict[str, str]:
    return {
        "device": device.id or "",
        "name": device.name or "",
        "hardware_id": device.hardware_id or "",
        "host": device.host or "",
    }


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _claims(report: CheckReport) -> list[Claim]:
    return [claim for device in report.devices for claim in device.claims]


def _named(device: DeviceVerdict) -> str:
    return " ".join(filter(None, (device.host, device.id, device.name))) or "no device"


def _seconds(timestamp: str) -> float:
    """Unix time; 0 for text that is not a time, as in a damaged document."""
    return (milliseconds(timestamp) or 0) / 1000
