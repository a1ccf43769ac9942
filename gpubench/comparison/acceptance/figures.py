"""Run documents grouped by device, and the figures in them that are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

import msgspec

from gpubench.benchmarks.registry import STREAM
from gpubench.comparison.curves import told_apart
from gpubench.comparison.verdicts import why_unusable
from gpubench.flags import Flag, flags_with
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.figures import meant, settings_text
from gpubench.results.machine import DeviceInfo

TOGETHER_KEY = "gpubench-check-together-"
"""What the ``key`` of a run begins with that was made while the host's other devices were measured too."""


class Setting(NamedTuple):
    """What must be equal for two figures to be of the same thing; ``parameters`` as JSON."""

    benchmark: str
    parameters: str


class Model(NamedTuple):
    """What must be equal for two devices to be twins, and for their figures to be comparable."""

    name: str
    runtime: str
    kernels: str


@dataclass(frozen=True)
class Usable:
    """Why a measurement does not count: a fault code and a sentence; both null if it does."""

    code: str | None = None
    reason: str | None = None


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
        """Of every run that counts, in byte/s."""
        return self._figures.get(setting, [])

    @cached_property
    def _figures(self) -> dict[Setting, list[float]]:
        found: dict[Setting, list[float]] = {}
        for run in self.alone:
            for each in judged(run):
                figures = found.setdefault(setting_of(each), [])
                if usable(each).code is None and each.bandwidth_bytes_per_second:
                    figures.append(each.bandwidth_bytes_per_second.median)
        return found


def by_device(documents: Iterable[RunDocument]) -> list[DeviceRuns]:
    """One document given twice is one run. Documents without a device are left out."""
    found: dict[tuple[str, str, str, str], dict[str, RunDocument]] = {}
    for document in documents:
        if document.device is not None:
            info = document.device
            key = (_host(document) or "", info.hardware_id, info.runtime, info.name)
            found.setdefault(key, {})[document.run_id] = document
    return [_grouped(list(runs.values())) for runs in found.values()]


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


def judged(document: RunDocument) -> list[Measurement]:
    """The measurements whose bandwidth is that of the whole memory."""
    return [each for each in document.measurements if each.benchmark in STREAM and not each.axes]


def setting_of(measurement: Measurement) -> Setting:
    return Setting(measurement.benchmark, settings_text(meant(measurement.parameters)))


def measurements_of(document: RunDocument, setting: Setting) -> list[Measurement]:
    return [each for each in judged(document) if setting_of(each) == setting]


def answering(document: RunDocument, planned: Iterable[PlannedBenchmark]) -> RunDocument | None:
    """The part of a run that these benchmarks would measure again; null if it lacks one of them.

    A bandwidth of the whole memory needs the same parameters, apart from those that only say for how long and
    with which data it is measured.
    """
    wanted = list(planned)
    names = {each.name for each in wanted}
    settings = {setting_of_plan(each) for each in wanted if each.name in STREAM}
    measurements = [
        each
        for each in document.measurements
        if each.benchmark in names and (each.benchmark not in STREAM or setting_of(each) in settings)
    ]
    found = {setting_of(each) for each in measurements if each.benchmark in STREAM}
    if {each.benchmark for each in measurements} != names or found != settings:
        return None
    findings = [each for each in document.findings if each.benchmark in names]
    return msgspec.structs.replace(document, measurements=measurements, findings=findings)


def setting_of_plan(planned: PlannedBenchmark) -> Setting:
    return Setting(planned.name, settings_text(meant(planned.parameters)))


def labels(runs: Sequence[RunDocument]) -> dict[Setting, str]:
    """The benchmark's name, with the parameters that tell its settings apart."""
    all_of_them = [each for run in runs for each in judged(run)]
    apart = told_apart(all_of_them)
    last_of = {setting_of(each): each for each in all_of_them}
    settings = Counter(setting.benchmark for setting in last_of)
    found = {}
    for setting, each in last_of.items():
        words = " ".join(f"{name}={each.parameters.get(name)}" for name in apart[each.benchmark])
        differs = settings[each.benchmark] > 1 and words.isprintable()
        found[setting] = f"{each.benchmark} {words}" if differs and words else each.benchmark
    return found


def usable(
    measurement: Measurement, *, flags: Sequence[Flag] | None = None, together: bool = False
) -> Usable:
    """Whether the figure may be judged; ``flags`` are the measurement's own unless given.

    A run beside the host's other devices is contended by them, which is its purpose.
    """
    flags = measurement.flags if flags is None else flags
    if measurement.status == "unverified" and measurement.mismatches:
        return Usable("GB-MEM-ERROR", measurement.reason or f"{measurement.mismatches} wrong values")
    if why := why_unusable(measurement):
        code = "GB-UNVERIFIED" if why.code == "not_verified" else "GB-NOT-MEASURED"
        return Usable(code, why.text)
    if found := flags_with("not_comparable", flags):
        return Usable("GB-NOT-OF-MEMORY", f"flagged {', '.join(found)}")
    if (found := flags_with("no_verdict", flags)) and not together:
        return Usable("GB-CONTENDED", f"flagged {', '.join(found)}")
    return Usable()


def middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None
