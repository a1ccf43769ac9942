"""A run document as a table: one row for each measurement, and so for each point of a curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gpubench.results.document import Measurement, RunDocument, Shape, Summary

_OPTIONAL: dict[str, type[msgspec.Struct]] = {
    "shape": Shape,
    "bandwidth_bytes_per_second": Summary,
    "latency_seconds": Summary,
}
"""Fields that are null if a measurement has none; its row still has all of their keys."""


def records(document: RunDocument) -> list[dict[str, Any]]:
    """One row for each measurement, in their order.

    A key is the path of a field below the measurement, with dots, such as ``parameters.dtype``,
    ``axes.footprint_bytes`` or ``bandwidth_bytes_per_second.median``, so it includes the unit;
    ``run_id``, ``created_at`` and ``device`` (its name) come first. ``samples`` is their number, ``flags``
    are joined by commas; the samples and the first mismatches themselves are left out.
    """
    run = {
        "run_id": document.run_id,
        "created_at": document.created_at,
        "device": document.device.name if document.device else None,
    }
    return [{**run, **dict(_cells(measurement))} for measurement in document.measurements]


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
