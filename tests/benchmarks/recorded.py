"""What the tests look up in recorded runs."""

from __future__ import annotations

from gpubench.results.document import Measurement, RunDocument
from gpubench.results.machine import DeviceInfo


def device(run: RunDocument) -> DeviceInfo:
    assert run.device
    return run.device


def of(run: RunDocument, benchmark: str, **axes: str) -> list[Measurement]:
    return [m for m in run.measurements if m.benchmark == benchmark and axes.items() <= m.axes.items()]
