"""Which results of a run are figures of a device's memory, for the gauges of the metrics.

No figure is believed: one that no memory can have, or that cannot be computed with, is logged with its run
and left out.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from gpubench.benchmarks.registry import STREAM
from gpubench.flags import flags_with
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.machine import Theory

log = logging.getLogger(__name__)

MAX_BYTES = 1e18
_MAX_BYTES_PER_SECOND = 1e18
_MAX_BUS_WIDTH_BITS = 1 << 20
_MAX_EFFICIENCY_RATIO = 1000.0
"""Far above any memory: figures beyond them are damaged."""

_YEAR_2100 = 4_102_444_800.0


@dataclass(frozen=True, order=True)
class FigureLabels:
    """One kind of figure: the labels of its gauges."""

    device: str
    benchmark: str
    precision: str


@dataclass(frozen=True)
class GaugeFigure:
    """The last valid figure of a series."""

    bandwidth_bytes_per_second: float
    stddev_bytes_per_second: float | None
    efficiency_ratio: float | None
    stable: bool

    @property
    def believable(self) -> bool:
        """Whether it can have been measured, and can be computed with; NaN and infinity cannot."""
        return (
            0 < self.bandwidth_bytes_per_second < _MAX_BYTES_PER_SECOND
            and 0 <= (self.stddev_bytes_per_second or 0) < _MAX_BYTES_PER_SECOND
            and 0 <= (self.efficiency_ratio or 0) < _MAX_EFFICIENCY_RATIO
        )


def figures_of(
    document: RunDocument, known: Container[FigureLabels]
) -> list[tuple[FigureLabels, GaugeFigure | None]]:
    """The series that a run has results of, each with its figure, None if that is not valid.

    ``known`` are the series that have had a figure before.
    """
    if document.device is None:
        return []
    found = []
    for measurement in document.measurements:
        precision = str(measurement.parameters.get("dtype", ""))
        series = FigureLabels(document.device.id, measurement.benchmark, precision)
        if not _is_of_the_memory(measurement, known=series in known):
            continue
        # A run for which a client stated the memory is not a default run.
        stated = document.theory is not None and document.theory.source == "stated"
        figure = None if stated else valid_figure(measurement)
        if figure is not None and not figure.believable:
            _leave_out(document, f"its figure of {measurement.benchmark} is {figure}")
            figure = None
        found.append((series, figure))
    return found


def ended_at(document: RunDocument) -> float | None:
    """When a run ended, as seconds since 1970; None for a time that cannot be right."""
    try:
        at = datetime.fromisoformat(document.finished_at or "").timestamp()
    except (ValueError, OverflowError, OSError):
        at = 0.0
    if 0 < at < _YEAR_2100:
        return at
    _leave_out(document, f"it ended at {document.finished_at!r}")
    return None


def own_theory(document: RunDocument) -> Theory | None:
    """The theory of the run's device; None if a client stated it, or if it cannot be right."""
    theory = document.theory
    if theory is None or theory.source == "stated":
        return None
    if (
        0 < theory.peak_bytes_per_second < _MAX_BYTES_PER_SECOND
        and 0 < theory.bus_width_bits < _MAX_BUS_WIDTH_BITS
    ):
        return theory
    _leave_out(document, f"its theory is {theory}")
    return None


def _leave_out(document: RunDocument, why: str) -> None:
    log.warning("run %s is left out of the metrics, its document is damaged: %s", document.run_id, why[:300])


def _is_of_the_memory(measurement: Measurement, known: bool) -> bool:
    """Whether this is, or should have been, a bandwidth of the memory as a whole, not a point of a curve.

    ``known``: this benchmark has had a figure before; it decides if this measurement has none.
    """
    if measurement.axes or measurement.quantity != "bandwidth":
        return False
    return measurement.bandwidth_bytes_per_second is not None or known or measurement.benchmark in STREAM


def valid_figure(measurement: Measurement) -> GaugeFigure | None:
    """The figure, if it is valid for the device; else None.

    It must be verified, measured with default parameters, not above theory, and have a footprint that
    exceeds the caches as far as they are known. Whether it is stable is reported by a gauge of its own.
    """
    summary = measurement.bandwidth_bytes_per_second
    if (
        measurement.status != "ok"
        or not measurement.verified
        or not measurement.default_parameters
        or summary is None
        or flags_with("no_gauge", measurement.flags)
    ):
        return None
    return GaugeFigure(
        bandwidth_bytes_per_second=summary.median,
        stddev_bytes_per_second=_stddev(measurement),
        efficiency_ratio=measurement.efficiency_ratio.nominal,
        stable=not flags_with("unsteady", measurement.flags),
    )


def _stddev(measurement: Measurement) -> float | None:
    """NaN if it cannot be computed."""
    moved = measurement.bus_bytes or 0
    rates = [moved / seconds for seconds in measurement.samples_seconds if seconds > 0 and moved < MAX_BYTES]
    if len(rates) < 2:
        return None
    return statistics.stdev(rates) if max(rates) < _MAX_BYTES_PER_SECOND else math.nan
