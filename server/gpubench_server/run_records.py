"""What is stored of a run as it goes on: acceptance, start, device, finished measurements, end."""

from __future__ import annotations

import logging
import threading
import time

from gpubench.errors import StoreError
from gpubench.results.document import RunDocument, encode_document
from gpubench.results.store import Store
from gpubench_server.encode import run_line
from gpubench_server.live_run import Answer, LiveRun
from gpubench_server.metrics_state import MetricsState
from gpubench_server.vital import VitalThreads
from gpubench_server.waiting_runs import terms_of

log = logging.getLogger(__name__)

_USUAL_SECONDS = 0.25
"""A commit takes milliseconds. A benchmark does not wait for one that takes longer."""


class RunRecords:
    """Safe to use from any thread; never called with the scheduler's lock, because the disk can be slow."""

    def __init__(self, store: Store, metrics: MetricsState) -> None:
        self._store = store
        self._metrics = metrics
        self._changed = threading.Condition()
        self._unwritten: dict[str, RunDocument] = {}
        """The newest document of each run, if it is not stored yet."""

    def start(self, threads: VitalThreads) -> None:
        threads.start("checkpoints", self._write_checkpoints)

    def accepted(self, run: LiveRun, request: str) -> None:
        """Raises ``StoreError``."""
        benchmarks = [each.name for each in run.work.benchmarks]
        self._store.accept(run.recorder.document, request, run.device.id, benchmarks, terms_of(run))

    def started(self, run: LiveRun) -> None:
        """Before the run is executed, so that one that ends the server is not started by the next.

        If that cannot be stored, a run is executed all the same, but not one that was taken up, which may
        have ended a server before: for that, raises ``StoreError``.
        """
        run.measured_at = time.monotonic()
        self._metrics.run_started(run.measured_at - run.queued_at)
        try:
            self._store.start(run.id)
        except StoreError as error:
            if run.taken_up:
                raise
            log.error("run %s: its start could not be stored: %s", run.id, error.message)

    def changed(self, run: LiveRun, document: RunDocument) -> None:
        """Store what the run has so far, in a thread that may wait for the store: this one measures on.

        Also if nothing is measured yet: if the server dies, the document still says on which device.
        """
        if document.measurements:
            now = time.monotonic()
            run.benchmark_seconds[document.measurements[-1].benchmark] += now - run.measured_at
            run.measured_at = now
        with self._changed:
            self._unwritten[run.id] = document
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._unwritten.get(run.id) is not document, _USUAL_SECONDS)

    def ended(self, document: RunDocument) -> Answer:
        """Store a document; returns what answers the requests that wait for it."""
        unstored: StoreError | None = None
        try:
            data = self._store.finish(document, self._metrics.series_of(document))
        except StoreError as error:
            log.exception("run %s: the document could not be stored", document.run_id)
            unstored = error
            data = encode_document(document)
        return lambda ticket: run_line(ticket.request_id, data, fetches=ticket.fetches, unstored=unstored)

    def count(self, run: LiveRun, document: RunDocument) -> None:
        """Into the metrics."""
        for benchmark, seconds in run.benchmark_seconds.items():
            self._metrics.measured(benchmark, seconds)
        self._metrics.run_ended(document, [each.name for each in run.work.benchmarks])

    def _write_checkpoints(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unwritten)
                run_id, document = next(iter(self._unwritten.items()))
            try:
                self._store.checkpoint(document)
            except Exception:  # the run goes on, and its end is stored, or kept in memory
                log.exception("run %s: what it has so far could not be stored", run_id)
            with self._changed:
                if self._unwritten[run_id] is document:  # else there is a newer one by now
                    del self._unwritten[run_id]
                self._changed.notify_all()
