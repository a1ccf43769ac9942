"""The pages for people."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gpubench.comparison import compare
from gpubench.comparison.acceptance import judge
from gpubench.comparison.sides import Side, SidesComparison, compare_sides
from gpubench.errors import LimitExceeded
from gpubench.report import device_tables, tables
from gpubench.report.flag_notes import flag_notes
from gpubench.report.headline import run_lines
from gpubench.report.history import shift_lines, trend_table
from gpubench.report.sides import differences_table, means_table, results_table, shares_table, sides_table
from gpubench.report.subject import Subject
from gpubench.results.kept import read_kept
from gpubench_server.web.queries import chosen, run_query
from gpubench_server.web.rendering import render, report_response, static_file
from gpubench_server.web.source import Source, Stored

_INDEX_RUNS = 15
_KEPT_REPORTS = 8


class Pages:
    """One method for each page."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reports: dict[str, str] = {}
        self._rendering = threading.Lock()

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/", self._index),
            Route("/runs", self._runs),
            Route("/runs/{run_id}", self._run),
            Route("/runs/{run_id}/report", self._report),
            Route("/compare", self._compare),
            Route("/static/{name}", self._static),
        ]

    def _index(self, request: Request) -> Response:
        status = self._source.status()
        return render(
            request,
            "index.html",
            status=status,
            running=" ".join(each.running or "" for each in status.queues).strip(),
            names=self._names(),
            devices=self._source.devices(),
            searching=self._source.why_not_ready is not None,
            runs=self._source.runs(_INDEX_RUNS),
            benchmark_urls=self._source.benchmark_urls,
        )

    def _runs(self, request: Request) -> Response:
        limit, device = run_query(request)
        # Of the memory as a whole: the points of curves would be hundreds of rows.
        trends = [trend for trend in self._source.trends(device) if not trend.series.axes]
        return render(
            request,
            "runs.html",
            runs=self._source.runs(limit, device),
            device=device,
            devices=self._source.known_devices,
            trends=trend_table(trends),
            shifts=shift_lines(trends),
        )

    def _run(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        stored = self._source.stored(run_id)
        if stored is None:
            return self._live(request, run_id)
        document = stored.document
        comparison = compare(document)
        return render(
            request,
            "run.html",
            run_id=run_id,
            lines=run_lines(comparison),
            verdict=judge([document]).devices[0],
            measured=tables.measurements(comparison),
            notes=flag_notes(comparison),
            tables=[
                tables.excluded(comparison),
                tables.skipped(comparison),
                device_tables.device_facts(document, comparison.theory),
                device_tables.environment_facts(document),
                device_tables.bus_facts(document),
            ],
        )

    def _live(self, request: Request, run_id: str) -> Response:
        status = self._source.status()
        for queue in status.queues:
            if run_id in (queue.running, *queue.queued):
                place = queue.queued.index(run_id) + 1 if run_id in queue.queued else 0
                return render(
                    request,
                    "live.html",
                    run_id=run_id,
                    newest=status.newest,
                    queue_of=queue,
                    place=place,
                    names=self._names(),
                )
        if self._source.stored(run_id) is not None:  # it has just ended
            return RedirectResponse(f"/runs/{run_id}", 303)
        raise LimitExceeded(
            f"run {run_id} waits for its device to be found, for the server's next start, or to be stored",
            retry_after_seconds=5,
        )

    def _report(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        stored = self._source.stored(run_id)
        if stored is None:
            return self._live(request, run_id)
        with self._rendering:  # one at a time: each takes a processor for seconds
            page = self._reports.get(run_id)
            if page is None:
                page = self._new_report(run_id, stored)
        return report_response(page)

    def _new_report(self, run_id: str, stored: Stored) -> str:
        from gpubench.report.html import render_html  # the extra `report`, and a second to load

        if self._source.measures_host:
            raise LimitExceeded(
                "a run measures this machine's processor now, and drawing a report would disturb it: "
                "try again when the run has ended",
                retry_after_seconds=10,
            )
        page = render_html(Subject(read_kept(stored.data, f"run {run_id}")))
        self._reports[run_id] = page
        if len(self._reports) > _KEPT_REPORTS:
            del self._reports[next(iter(self._reports))]
        return page

    def _compare(self, request: Request) -> Response:
        run_ids, pooled = chosen(request)
        shown: Sequence[object] = ()
        if run_ids:
            comparison = compare_stored(self._source, run_ids, pooled)
            shown = (
                sides_table(comparison),
                results_table(comparison)[0],
                shares_table(comparison),
                means_table(comparison),
                differences_table(comparison),
            )
        query = urlencode([("run", each) for each in run_ids])
        return render(request, "compare.html", tables=shown, pooled=pooled, query=query)

    def _static(self, request: Request) -> Response:
        found = static_file(request.path_params["name"])
        return found or render(
            request, "error.html", 404, title="Not found", message="There is no such file."
        )

    def _names(self) -> dict[str, str]:
        return {device.id: device.name for device in self._source.known_devices}


def compare_stored(source: Source, run_ids: Sequence[str], pooled: bool) -> SidesComparison:
    """Each run is a side, or the runs of each device and driver are if ``pooled``."""
    sides: dict[str, list[Stored]] = {}
    for run_id, stored in zip(run_ids, source.stored_all(run_ids), strict=True):
        device = stored.document.device
        name = f"{device.name}, {device.driver_name}" if device else "unknown device"
        sides.setdefault(name if pooled else run_id, []).append(stored)
    return compare_sides(
        [Side(name, tuple(each.document for each in stored)) for name, stored in sides.items()]
    )
