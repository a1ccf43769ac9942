"""Measurements without a figure; made also by the process that supervises workers, which may lack numpy."""

from __future__ import annotations

from collections.abc import Mapping

from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Measurement, Status


def without_figure(
    planned: PlannedBenchmark,
    status: Status,
    reason: str,
    axes: Mapping[str, int | float | str] | None = None,
) -> Measurement:
    """A measurement that was skipped or failed."""
    return Measurement(
        planned.name,
        planned.parameters,
        status,
        reason=reason,
        axes=dict(axes or {}),
        default_parameters=planned.default_parameters,
    )
