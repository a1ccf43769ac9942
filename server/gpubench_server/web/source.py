"""Where the pages and the API get what they show: the store, the queues and the devices. It only reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gpubench
from gpubench.catalog.theory import theory_for_device
from gpubench.comparison import compare
from gpubench.comparison.acceptance import CheckReport, judge
from gpubench.comparison.history import Trend, trend_of
from gpubench.comparison.references import technology_references
from gpubench.devices.profile import profile_of
from gpubench.errors import DocumentError, InvalidParameters
from gpubench.protocol.messages import QueueStatus
from gpubench.report import tables
from gpubench.report.device_tables import device_name
from gpubench.report.headline import run_lines
from gpubench.report.text_table import clean, label
from gpubench.results.document import RunDocument, decode_document
from gpubench.results.history import HistoryQuery
from gpubench.results.machine import DeviceInfo
from gpubench.results.progress import Progress
from gpubench.results.run_state import RunState
from gpubench.results.store import Store
from gpubench.units import format_bandwidth, format_percent
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.live_run import no_such_run
from gpubench_server.metrics import ServiceSnapshot
from gpubench_server.readiness import Readiness
from gpubench_server.scheduler import Scheduler
from gpubench_server.web.views import (
    DeviceView,
    Figure,
    QueueView,
    Reference,
    RunSummary,
    RunView,
    StatusView,
)

MAX_RUNS = 200
"""On one page; each is read from the store once, and its summary kept."""

_TREND_FIGURES = 2000
_MAX_SUMMARIES = 1000
_SEARCHED_RUNS = 50
"""Among how many of a device's newest runs one is looked for that finished."""


@dataclass(frozen=True)
class Stored:
    """A finished run's document, and the JSON that it was read from."""

    document: RunDocument
    data: bytes


class Source:
    """Safe to use from any thread."""

    def __init__(
        self,
        store: Store,
        registry: DeviceRegistry,
        scheduler: Scheduler,
        readiness: Readiness,
        snapshot: Callable[[], ServiceSnapshot],
        benchmark_urls: str,
    ) -> None:
        self._store = store
        self._registry = registry
        self._scheduler = scheduler
        self._readiness = readiness
        self._lock = threading.Lock()
        self._summaries: dict[str, RunSummary | None] = {}
        self.snapshot = snapshot
        self.benchmark_urls = benchmark_urls

    @property
    def why_not_ready(self) -> str | None:
        return self._readiness.why_not

    def status(self) -> StatusView:
        """Touches neither a device nor the disk: it is asked for several times a second."""
        return StatusView(
            state=self._readiness.state,
            server=gpubench.__version__,
            reasons=(self._readiness.why_not or "").splitlines(),
            queues=[self._queue(each) for each in self._scheduler.queues()],
            newest=self._scheduler.newest,
        )

    def runs(self, limit: int, device: str | None = None) -> list[RunView]:
        """The newest runs, newest first."""
        return [self._run_view(state) for state in self._scheduler.latest(limit, device)]

    def trends(self, device: str | None = None) -> list[Trend]:
        """The newest figures by series, and when they shifted; ``device`` is an id, an alias or a name."""
        found = self._store.history(HistoryQuery(device, limit=_TREND_FIGURES))
        return [trend_of(series) for series in found.series]

    @property
    def known_devices(self) -> list[DeviceInfo]:
        """What was last found; reads nothing from the store."""
        return self._registry.known.devices

    def devices(self) -> list[DeviceView]:
        return [self._device(info) for info in self.known_devices]

    def stored(self, run_id: str) -> Stored | None:
        """A finished run; None of one that is queued or running.

        Raises ``NoSuchRun``, and ``DocumentError`` for a document that cannot be read.
        """
        data = self._store.document(run_id)
        if data is not None:
            return Stored(decode_document(data, f"run {run_id}"), data)
        if self._scheduler.is_live(run_id):
            return None
        raise no_such_run(run_id)

    def stored_all(self, run_ids: Sequence[str]) -> list[Stored]:
        """Raises as ``stored``, and ``InvalidParameters`` for a run that has not finished."""
        found = []
        for run_id in dict.fromkeys(run_ids):
            stored = self.stored(run_id)
            if stored is None:
                raise InvalidParameters(f"the run {run_id} has not finished: choose it once it has")
            found.append(stored)
        return found

    def verdicts(self) -> CheckReport:
        """Whether each device is all right, judged by its newest finished run."""
        newest = [self._newest_finished(info) for info in self.known_devices]
        found = self.stored_all([state.run_id for state in newest if state is not None])
        return judge([each.document for each in found])

    @property
    def measures_host(self) -> bool:
        """Whether a run measures this machine's processor now: work here would disturb it."""
        kinds = {device.id: device.kind for device in self.known_devices}
        return any(each.running and kinds.get(each.device) == "cpu" for each in self._scheduler.queues())

    # Inside.

    def _queue(self, status: QueueStatus) -> QueueView:
        progress = self._scheduler.progress(status.running) if status.running else None
        return QueueView(
            device=status.device,
            running=status.running,
            queued=status.queued,
            progress=progress,
            text=progress_text(progress) if progress else "",
        )

    def _run_view(self, state: RunState) -> RunView:
        return RunView(run=state, summary=self._summary(state) if state.state == "finished" else None)

    def _summary(self, state: RunState) -> RunSummary | None:
        with self._lock:
            if state.run_id in self._summaries:
                return self._summaries[state.run_id]
        try:
            data = self._store.document(state.run_id)
            found = summary_of(decode_document(data, f"run {state.run_id}")) if data else None
        except DocumentError:  # its own page says what is wrong with it
            found = None
        with self._lock:
            self._summaries[state.run_id] = found
            if len(self._summaries) > _MAX_SUMMARIES:
                del self._summaries[next(iter(self._summaries))]
        return found

    def _newest_finished(self, info: DeviceInfo) -> RunState | None:
        """Without those that were cancelled: they say nothing about the device."""
        states = self._scheduler.latest(_SEARCHED_RUNS, info.id)
        finished = (s for s in states if s.state == "finished" and s.outcome != "cancelled")
        return next((state for state in finished if self._summary(state) is not None), None)

    def _device(self, info: DeviceInfo) -> DeviceView:
        state = self._newest_finished(info)
        last = self._run_view(state) if state else None
        summary = last.summary if last else None
        theory = (summary.theory if summary else None) or theory_for_device(info)
        measured = summary.figure.bandwidth_bytes_per_second if summary and summary.figure else None
        references = []
        if profile_of(info.kind).compared_with_boards:
            references = [
                Reference(
                    label=each.label,
                    bus_width_bits=each.bus_width_bits,
                    peak_bytes_per_second=each.peak_bytes_per_second,
                    measured_ratio=None if measured is None else each.measured_ratio,
                )
                for each in technology_references(measured or 0.0, theory)
            ]
        return DeviceView(device=info, theory=theory, last=last, references=references)


def summary_of(document: RunDocument) -> RunSummary:
    comparison = compare(document)
    shown = tables.headline(comparison.results)
    figure = None
    if shown is not None:
        figure = Figure(
            benchmark=label(shown),
            bandwidth_bytes_per_second=shown.bandwidth.median,
            low_bytes_per_second=shown.bandwidth.low,
            high_bytes_per_second=shown.bandwidth.high,
            nominal_ratio=shown.nominal_ratio,
            flags=list(shown.flags),
        )
    return RunSummary(
        device_name=device_name(document),
        acceptance=judge([document]).status,
        text=" ".join(run_lines(comparison)),
        figure=figure,
        theory=comparison.theory,
    )


def progress_text(progress: Progress) -> str:
    """``triad, measuring: 38.1 GB/s ± 0.8 % after 45 samples; 40 % of the run``."""
    words = ", ".join(filter(None, (progress.benchmark, progress.phase.replace("_", " "))))
    if progress.bandwidth_bytes_per_second is not None:
        words += f": {format_bandwidth(progress.bandwidth_bytes_per_second)}"
        if progress.interval_ratio is not None and progress.interval_ratio < 1:  # else it says nothing
            words += f" ± {format_percent(progress.interval_ratio)}"
        if progress.samples:
            words += f" after {progress.samples} samples"
    return clean(f"{words}; {format_percent(progress.done_ratio)} of the run")
