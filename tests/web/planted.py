"""A store with runs that no test machine makes, some of them hostile. None of these figures was measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from gpubench_server.device_registry import KnownDevices

from gpubench.results.document import RunDocument
from gpubench.results.store import FILE_NAME, Store
from tests.documents import document, measurement, rtx_5090
from tests.server.embedded import EmbeddedServer

HOSTILE = "<script>alert('gpubench')</script>\u202e\x1b[31m&amp;\" onload=\"alert(1)"
"""The name of a device: markup, a right-to-left mark, a control sequence, an end of an attribute."""

SLOW, GOOD, ODD, LONG, DAMAGED = "slow", "good", "a&b?<i>c%2F", "long", "damaged"
"""Ids of runs. A run's id comes from the server that made it; a store may come from elsewhere."""


def planted_run(run_id: str, gb_per_second: float, name: str, **fields: object) -> RunDocument:
    at = "2026-01-02T03:04:05.000Z"
    usual: dict[str, object] = {"created_at": at, "started_at": at, "finished_at": at}
    return document(
        measurement(gb_per_second),
        measurement(gb_per_second * 1.02, "copy"),
        device=msgspec.structs.replace(rtx_5090(), name=name),
        run_id=run_id,
        **{**usual, **fields},
    )


def plant(directory: Path) -> dict[str, RunDocument]:
    """The runs, oldest first; that of ``DAMAGED`` cannot be read back."""
    name = rtx_5090().name
    long = measurement(1600, samples_seconds=[0.001 + number / 1e9 for number in range(300_000)])
    runs = [
        planted_run(SLOW, 1400, name),
        planted_run(GOOD, 1620, name),
        planted_run(ODD, 1610, HOSTILE + "x" * 10_000, labels={"<b>": HOSTILE}),
        document(long, run_id=LONG, finished_at="2026-01-02T03:04:05.000Z"),
        planted_run(DAMAGED, 1610, name),
    ]
    with Store(directory) as store:
        for run in runs:
            device = run.device.id if run.device else "cuda:0"
            store.accept(run, run.run_id, device, [each.benchmark for each in run.measurements])
            store.finish(run)
    with sqlite3.connect(directory / FILE_NAME) as database:
        database.execute("UPDATE runs SET document = x'7b7d' WHERE run_id = ?", (DAMAGED,))
    database.close()
    return {run.run_id: run for run in runs}


@contextmanager
def with_gpu(directory: Path) -> Iterator[tuple[str, int]]:
    """A server that knows a GPU, which nothing is asked of."""
    with EmbeddedServer(directory) as embedded:
        with embedded.connect() as client:
            client.ask("devices")
        registry = embedded.server._registry
        registry._known = KnownDevices([rtx_5090()], [], registry.known.at)
        yield "127.0.0.1", int(embedded.server.http_url.rpartition(":")[2])
