"""The comparison as JSON, for programs: figures with what they are compared with, without the samples."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench.comparison.compare import Comparison, Result
from gpubench.comparison.curves import Curve, placed
from gpubench.report.flag_notes import flag_notes
from gpubench.report.headline import run_lines, verdict_lines
from gpubench.report.subject import Entry, Subject
from gpubench.results.figures import figure_of

FORMAT = "gpubench-report"
VERSION = 1


def report_json(subject: Subject) -> bytes:
    """One object, indented, UTF-8; names include the unit, and what is not known is null."""
    found = {
        "format": FORMAT,
        "version": VERSION,
        "verdict": verdict_lines(subject),
        "boards": subject.boards,
        "runs": [_run(each) for each in subject.entries],
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _run(entry: Entry) -> dict[str, Any]:
    comparison, document = entry.comparison, entry.document
    return {
        "label": entry.label,
        "run_id": document.run_id,
        "document_sha256": entry.kept.sha256,
        "created_at": document.created_at,
        "outcome": document.outcome,
        "error": document.error,
        "device": document.device,
        "environment": document.environment,
        "theory": comparison.theory,
        "verdict": run_lines(comparison),
        "results": [_result(each) for each in comparison.results],
        "curves": [_curve(each) for each in comparison.curves],
        "findings": document.findings,
        "warnings": flag_notes(comparison),
        "without_a_figure": _excluded(comparison),
        "not_allowed": comparison.not_allowed,
        "notes": comparison.notes,
    }


def _result(result: Result) -> dict[str, Any]:
    own = {name: getattr(result, name) for name in Result.__dataclass_fields__ if name != "measurement"}
    measured = result.measurement
    return {
        "benchmark": result.benchmark,
        "parameters": measured.parameters,
        "samples": len(measured.samples_seconds),
        **own,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "benchmark": curve.benchmark,
        "apart": curve.apart,
        "quantity": curve.points[0].quantity,
        "unit": curve.points[0].unit,
        "points": [
            {"axes": placed(point), "figure": figure_of(point), "flags": point.flags}
            for point in curve.points
        ],
    }


def _excluded(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "benchmark": each.measurement.benchmark,
            "axes": each.measurement.axes,
            "status": each.measurement.status,
            "reason": each.reason,
        }
        for each in comparison.excluded
    ]
