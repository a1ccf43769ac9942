"""The figures of a run document that may be followed over time, and what each of them describes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gpubench.results.document import Measurement, RunDocument, Summary

NO_SETTINGS = frozenset({"time_limit_seconds", "target_ratio", "seed", "stop", "samples", "host_nodes"})
"""Parameters that change how long is measured, with which data or how many points, not what a figure is."""


def meant(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that decide what a figure describes."""
    return {name: value for name, value in parameters.items() if name not in NO_SETTINGS}


def settings_text(value: Any) -> str:
    """Settings as text: equal settings give equal text."""
    return msgspec.json.encode(value, order="deterministic").decode()


def figure_of(measurement: Measurement) -> Summary | None:
    """The figure in the measurement's own quantity: byte/s, or seconds for a latency."""
    return {
        "bandwidth": measurement.bandwidth_bytes_per_second,
        "latency": measurement.latency_seconds,
    }.get(measurement.quantity)


def usable_figure(measurement: Measurement) -> Summary | None:
    """The figure, if it was verified and can be compared with others; ``why_unusable`` has the reasons."""
    found = figure_of(measurement)
    if measurement.status != "ok" or not measurement.verified or "unverified" in measurement.flags:
        return None
    if found is None or not all(math.isfinite(x) and x > 0 for x in (found.median, found.low, found.high)):
        return None
    return found


class Subject(NamedTuple):
    """A benchmark on a device of a machine. Texts are empty where something is not known."""

    host: str
    hardware_id: str
    device: str
    name: str
    benchmark: str


class Settings(msgspec.Struct, frozen=True):
    """What must be equal, besides the subject, for figures to be of one series."""

    parameters: dict[str, Any]
    axes: dict[str, int | float | str]
    quantity: str
    unit: str
    runtime: str
    kernel_source_hash: str
    platform: str | None = None
    simulated: bool = False


class Figure(NamedTuple):
    subject: Subject
    settings: Settings
    summary: Summary
    flags: str
    """Joined by commas."""


def figures(document: RunDocument) -> Iterator[Figure]:
    """The usable figures of a run, in their order; none of a run without a device."""
    device, environment = document.device, document.environment
    if device is None:
        return
    host = (environment.host.name if environment else None) or ""
    kernels = environment.kernel_source_hash if environment else ""
    for m in document.measurements:
        summary = usable_figure(m)
        if summary is not None:
            yield Figure(
                Subject(host, device.hardware_id, device.id, device.name, m.benchmark),
                Settings(
                    parameters=meant(m.parameters),
                    axes=m.axes,
                    quantity=m.quantity,
                    unit=m.unit,
                    runtime=device.runtime,
                    kernel_source_hash=kernels,
                    platform=device.platform,
                    simulated=device.simulated,
                ),
                summary,
                ",".join(m.flags),
            )
