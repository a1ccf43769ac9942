"""A run document as a table: one row for each measurement, and so for each point of a curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gpubench.results.document import Measurement, RunDocument, Shape, Summary
from gpubench.results.kept import KeptDocument

_OPTIONAL: dict[str, type[msgspec.Struct]] = {
    "shape": Shape,
    "bandwidth_bytes_per_second": Summary,
    "latency_seconds": Summary,
}
"""Fields that are null if a measurement has none; its row still has all of their keys."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet runs."""

_RUN_COLUMNS = ("run_id", "created_at", "device")


def records(document: RunDocument) -> list[dict[str, Any]]:
    """One row for each measurement, in their order.

    A key is the path of a field below the measurement, with dots, such as ``parameters.dtype``,
    ``axes.footprint_bytes`` or ``bandwidth_bytes_per_second.median``, so it includes the unit;
    ``run_id``, ``created_at`` and ``device`` (its name) come first. ``samples`` is their number, ``flags``
    are joined by commas; the samples and the first mismatches themselves are left out.
    """
    device = document.device.name if document.device else None
    run = dict(zip(_RUN_COLUMNS, (document.run_id, document.created_at, device), strict=True))
    return [{**run, **dict(_cells(measurement))} for measurement in document.measurements]


def records_csv(kept: Sequence[KeptDocument]) -> str:
    """``records`` of all documents as one CSV, each row with its document's SHA-256."""
    rows = [{**row, "document_sha256": each.sha256} for each in kept for row in records(each.document)]
    return csv_text(_RUN_COLUMNS, rows)


def csv_text(first: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one CSV with a header, whose columns ``first`` are there in any case.

    A key that a row does not have is empty, and so is what is not known; truth values are ``true`` and
    ``false``, and lists and objects are JSON. Text that a spreadsheet would run as a formula, such as a
    device called ``=1+1``, has an apostrophe before it.
    """
    columns = list(dict.fromkeys([*first, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_csv_cell, columns))
    writer.writerows([_csv_cell(row.get(key)) for key in columns] for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return msgspec.json.encode(value).decode()


def _cells(measurement: Measurement) -> Iterator[tuple[str, Any]]:
    for name in measurement.__struct_fields__:
        value = getattr(measurement, name)
        if name == "samples_seconds":
            yield "samples", len(value)
        elif name == "flags":
            yield name, ",".join(value)
        elif value is None and name in _OPTIONAL:
            yield from ((f"{name}.{field}", None) for field in _OPTIONAL[name].__struct_fields__)
        elif isinstance(value, msgspec.Struct):
            yield from _below(name, msgspec.structs.asdict(value))
        elif isinstance(value, Mapping):
            yield from _below(name, value)
        elif name != "first_mismatches":
            yield name, value


def _below(name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{name}.{field}", value) for field, value in fields.items())
