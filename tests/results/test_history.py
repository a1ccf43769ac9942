"""Figures over time, as the store keeps and finds them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gpubench.results.document import RunDocument
from gpubench.results.history import HistoryQuery
from gpubench.results.machine import DeviceInfo, Environment, Host
from gpubench.results.store import FILE_NAME, Store
from gpubench.results.timestamps import milliseconds, timestamp
from tests.documents import document, measurement, processor, rtx_5090


def run_of_day(day: int, gb_per_second: float = 1500, **fields: object) -> RunDocument:
    """With the figures ``triad`` and ``copy``; ended on that day of January."""
    measured = [measurement(gb_per_second), measurement(1400, "copy", "contended")]
    return document(*measured, run_id=f"day-{day}", finished_at=f"2026-01-{day:02}T03:04:05.678Z", **fields)  # type: ignore[arg-type]


def keep(store: Store, *runs: RunDocument) -> None:
    for run in runs:
        store.accept(run, "triad", run.device.id if run.device else "none", ["triad", "copy"])
        store.finish(run)


def points(store: Store, query: HistoryQuery) -> list[tuple[str, str, float]]:
    found = store.history(query)
    return [(s.benchmark, p.run_id, p.median / 1e9) for s in found.series for p in s.points]


def test_a_series_has_the_figures_of_equal_settings_oldest_first(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        keep(store, run_of_day(2, 1510), run_of_day(1, 1500), run_of_day(3, 1520))
        (triad,) = store.history(HistoryQuery(benchmark="triad")).series
        assert [(p.run_id, p.median) for p in triad.points] == [
            ("day-1", 1500e9),
            ("day-2", 1510e9),
            ("day-3", 1520e9),
        ]
        assert triad.points[0].at == "2026-01-01T03:04:05.678Z"
        assert (triad.points[0].program_version, triad.points[0].driver) == ("0.1.0", "595.10")
        assert (triad.device, triad.name, triad.parameters) == (
            "cuda:0",
            "NVIDIA GeForce RTX 5090",
            {"dtype": "float64"},
        )
        (copy,) = store.history(HistoryQuery(benchmark="copy")).series
        assert copy.points[0].flags == ["contended"]


OTHERS = {
    "kernels": run_of_day(2, kernels="another"),
    "device": run_of_day(2, device=processor()),
    "board": run_of_day(2, device=msgspec.structs.replace(rtx_5090(), name="another board")),
    "host": run_of_day(
        2,
        environment=Environment(
            program_version="0.1.0", kernel_source_hash="a1b2c3", host=Host(name="other")
        ),
    ),
    "platform": run_of_day(2, device=msgspec.structs.replace(rtx_5090(), platform="another")),
    "simulated": run_of_day(2, device=msgspec.structs.replace(rtx_5090(), simulated=True)),
    "parameters": document(
        measurement(1500, parameters={"dtype": "float"}), run_id="x", finished_at="2026-01-02T00:00:00Z"
    ),
    "axes": document(measurement(1500, axes={"stride": 2}), run_id="x", finished_at="2026-01-02T00:00:00Z"),
}


@pytest.mark.parametrize("differs", OTHERS)
def test_figures_at_other_settings_are_another_series(tmp_path: Path, differs: str) -> None:
    with Store(tmp_path) as store:
        keep(store, run_of_day(1), OTHERS[differs])
        assert [len(s.points) for s in store.history(HistoryQuery(benchmark="triad")).series] == [1, 1]


def test_another_driver_or_version_is_noted_and_the_same_series(tmp_path: Path) -> None:
    changed = Environment(program_version="0.2.0", kernel_source_hash="a1b2c3", driver="600.1")
    with Store(tmp_path) as store:
        keep(store, run_of_day(1), run_of_day(2, environment=changed))
        (triad,) = store.history(HistoryQuery(benchmark="triad")).series
        assert [(p.program_version, p.driver) for p in triad.points] == [
            ("0.1.0", "595.10"),
            ("0.2.0", "600.1"),
        ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (HistoryQuery(device="cuda:0"), ["day-1", "day-2", "day-3"]),
        (HistoryQuery(device="gpu0"), ["day-1", "day-2", "day-3"]),
        (HistoryQuery(device="NVIDIA GeForce RTX 5090"), ["day-1", "day-2", "day-3"]),
        (HistoryQuery(device="host"), ["day-4"]),
        (HistoryQuery(device="nope"), []),
        (HistoryQuery(since=milliseconds("2026-01-02T03:04:05.678Z")), ["day-4", "day-2", "day-3"]),
        (HistoryQuery(since=milliseconds("2026-01-02T03:04:05.679Z")), ["day-4", "day-3"]),
        (HistoryQuery(limit=4), ["day-4", "day-3"]),
        (HistoryQuery(limit=3, benchmark="triad"), ["day-4", "day-2", "day-3"]),
    ],
)
def test_what_a_query_finds(tmp_path: Path, query: HistoryQuery, expected: list[str]) -> None:
    with Store(tmp_path) as store:
        keep(store, run_of_day(4, device=processor()), run_of_day(1), run_of_day(3), run_of_day(2))
        assert [run for name, run, _ in points(store, query) if name == "triad"] == expected
        assert store.history(query).truncated == (query.limit < 8)


def test_only_finished_runs_have_figures(tmp_path: Path) -> None:
    run = run_of_day(1)
    with Store(tmp_path) as store:
        store.accept(run, "triad", "cuda:0", ["triad"])
        store.checkpoint(run)
        assert points(store, HistoryQuery()) == []
    with Store(tmp_path) as store:  # ended as interrupted, with what it had
        assert [run_id for _, run_id, _ in points(store, HistoryQuery())] == ["day-1", "day-1"]


def test_the_figures_of_an_older_store_are_read_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path) as store:
        keep(store, run_of_day(1), run_of_day(2), run_of_day(3))
        before = store.history(HistoryQuery())
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("DROP INDEX runs_by_end")
        tables = "".join(f"DROP TABLE {name};" for name in ("subjects", "series", "figures", "waiting"))
        database.executescript(f"{tables} PRAGMA user_version = 2;")
        database.execute(
            "INSERT INTO runs SELECT 9, 'bad', NULL, '', 1, '', '', '[]', '', '', x'00' FROM runs LIMIT 1"
        )
    with Store(tmp_path) as store:
        assert store.history(HistoryQuery()) == before
    assert "left out of the history: run bad" in caplog.text
    with Store(tmp_path) as store:
        assert store.history(HistoryQuery()) == before


@pytest.mark.parametrize("damage", ["x'fffe'", "'[[{'", "1e999", "-9000000000000000000"])
@pytest.mark.parametrize(
    "column", ["figures.at", "figures.median", "figures.flags", "series.settings", "subjects.device"]
)
def test_a_damaged_row_hides_no_other(tmp_path: Path, column: str, damage: str) -> None:
    table, name = column.split(".")
    with Store(tmp_path) as store:
        keep(store, run_of_day(1), run_of_day(2, device=processor()))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        key = {"figures": "id", "series": "series", "subjects": "subject"}[table]
        database.execute(f"UPDATE {table} SET {name} = {damage} WHERE {key} = 1")  # triad of day 1
    with Store(tmp_path) as store:
        kept = {(name, run) for name, run, _ in points(store, HistoryQuery())}
        kept |= {(name, run) for name, run, _ in points(store, HistoryQuery(benchmark="triad"))}
        assert {("copy", "day-1"), ("triad", "day-2"), ("copy", "day-2")} <= kept
        msgspec.json.decode(msgspec.json.encode(store.history(HistoryQuery())))


def test_a_run_that_does_not_say_when_it_ended_is_left_out(tmp_path: Path) -> None:
    run = document(measurement(1500), finished_at="yesterday")
    with Store(tmp_path) as store:
        keep(store, run)
        assert points(store, HistoryQuery()) == []
        assert store.document(run.run_id) is not None


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02", 86_400_000),
        ("yesterday", None),
        ("", None),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ],
)
def test_times(text: str, ms: int | None) -> None:
    assert milliseconds(text) == ms
    if ms is not None:
        assert milliseconds(timestamp(ms)) == ms


def test_a_device_without_what_is_optional(tmp_path: Path) -> None:
    bare = DeviceInfo(id="a", alias="b", runtime="opencl", kind="cpu", name="", hardware_id="")
    with Store(tmp_path) as store:
        keep(store, run_of_day(1, device=bare, environment=None))
        (first, _) = store.history(HistoryQuery()).series
        assert (first.host, first.name, first.kernel_source_hash) == (None, "", "")
