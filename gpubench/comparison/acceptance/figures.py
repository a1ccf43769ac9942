"""Run documents grouped by device, and the figures in them that are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

import msgspec

from gpubench.comparison.acceptance.run_figures import (
    LATENCY,
    Setting,
    by_setting,
    is_judged,
    judged,
    run_figures,
    setting_of,
)
from gpubench.comparison.curves import told_apart
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import RunDocument
from gpubench.results.figures import meant, settings_text
from gpubench.results.machine import DeviceInfo

TOGETHER_KEY = "gpubench-check-together-"
"""What the ``key`` of a run begins with that was made while the host's other devices were measured too."""


class Model(NamedTuple):
    """What must be equal for two devices to be twins, and for their figures to be comparable."""

    name: str
    runtime: str
    kernels: str


@dataclass(frozen=True, eq=False)
class DeviceRuns:
    """The runs of one device, oldest first: alone, and while the host's other devices worked too.

    Equal only to itself. What is asked once for each pair of devices is kept.
    """

    info: DeviceInfo
    host: str | None
    alone: tuple[RunDocument, ...]
    together: tuple[RunDocument, ...]

    @property
    def runs(self) -> tuple[RunDocument, ...]:
        return (*self.alone, *self.together)

    @cached_property
    def newest(self) -> RunDocument:
        return max(self.runs, key=lambda document: document.finished_at or document.created_at)

    @cached_property
    def model(self) -> Model:
        environment = self.newest.environment
        return Model(self.info.name, self.info.runtime, environment.kernel_source_hash if environment else "")

    def settings(self) -> list[Setting]:
        return list(self._figures)

    def figures(self, setting: Setting) -> list[float]:
        """Of every run that counts, in the unit of the setting."""
        return self._figures.get(setting, [])

    @cached_property
    def _figures(self) -> dict[Setting, list[float]]:
        found: dict[Setting, list[float]] = {}
        for run in self.alone:
            for setting, measured in by_setting(run).items():
                found.setdefault(setting, []).extend(
                    each.value
                    for each in run_figures(run, setting, measured)
                    if each.unusable.code is None and each.value is not None
                )
        return found


def by_device(documents: Iterable[RunDocument]) -> list[DeviceRuns]:
    """One document given twice is one run. Documents without a device are left out.

    Virtual machines often have the same name and give their GPU the same address: CUDA's ids, which are of
    the board, tell such GPUs apart. OpenCL's ids are only of the driver, and may change.
    """
    found: dict[tuple[str, ...], dict[str, RunDocument]] = {}
    for document in documents:
        if document.device is not None:
            info = document.device
            board = info.id if info.runtime == "cuda" else ""
            key = (_host(document) or "", info.hardware_id, info.runtime, info.name, board)
            found.setdefault(key, {})[document.run_id] = document
    return [_grouped(list(runs.values())) for runs in found.values()]


def count_of(devices: Iterable[DeviceRuns]) -> int:
    """How many pieces of hardware: one that was measured with CUDA and with OpenCL is one."""
    places: dict[tuple[str | None, str], set[str]] = {}
    for each in devices:
        boards = places.setdefault((each.host, each.info.hardware_id), set())
        boards |= {each.info.id} if each.info.runtime == "cuda" else set()
    return sum(max(1, len(boards)) for boards in places.values())


def _grouped(runs: list[RunDocument]) -> DeviceRuns:
    runs.sort(key=lambda document: document.created_at)
    alone = tuple(run for run in runs if not is_together(run))
    together = tuple(run for run in runs if is_together(run))
    info = runs[-1].device
    assert info is not None  # noqa: S101  (by_device takes only these)
    return DeviceRuns(info, _host(runs[-1]), alone, together)


def is_together(document: RunDocument) -> bool:
    return (document.key or "").startswith(TOGETHER_KEY)


def _host(document: RunDocument) -> str | None:
    return document.environment.host.name if document.environment else None


def answering(document: RunDocument, planned: Iterable[PlannedBenchmark]) -> RunDocument | None:
    """The part of a run that these benchmarks would measure again; null if it lacks one of them.

    A figure that is judged needs the same parameters, apart from those that only say for how long and with
    which data it is measured.
    """
    wanted = list(planned)
    names = {each.name for each in wanted}
    settings = {setting_of_plan(each) for each in wanted if is_judged(each.name)}
    measurements = [
        each
        for each in document.measurements
        if each.benchmark in names and (not is_judged(each.benchmark) or setting_of(each) in settings)
    ]
    found = {setting_of(each) for each in measurements if is_judged(each.benchmark)}
    if {each.benchmark for each in measurements} != names or found != settings:
        return None
    findings = [each for each in document.findings if each.benchmark in names]
    return msgspec.structs.replace(document, measurements=measurements, findings=findings)


def setting_of_plan(planned: PlannedBenchmark) -> Setting:
    return Setting(planned.name, settings_text(meant(planned.parameters)))


def labels(runs: Sequence[RunDocument]) -> dict[Setting, str]:
    """What each setting measures: the benchmark's name, or ``latency of memory``, with the parameters that
    tell its settings apart."""
    all_of_them = [each for run in runs for each in judged(run)]
    apart = told_apart(all_of_them)
    last_of = {setting_of(each): each for each in all_of_them}
    settings = Counter(setting.benchmark for setting in last_of)
    found = {}
    for setting, each in last_of.items():
        words = " ".join(f"{name}={each.parameters.get(name)}" for name in apart[each.benchmark])
        differs = settings[each.benchmark] > 1 and words.isprintable()
        what = "latency of memory" if each.benchmark == LATENCY else each.benchmark
        found[setting] = f"{what} {words}" if differs and words else what
    return found


def middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None
