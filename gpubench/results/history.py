"""Figures over time: the store's table of them, written with each run, and what is read from it.

A series holds the figures of one benchmark on one device at equal settings, made by the same kernels.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gpubench import typed
from gpubench.results.document import RunDocument
from gpubench.results.figures import Settings, Subject, figures, settings_text
from gpubench.results.machine import Record
from gpubench.results.timestamps import milliseconds, timestamp

MAX_POINTS = 10_000
"""The most figures of one answer: a series of that length is read as medians of neighbours anyway."""


class HistoryPoint(Record, frozen=True):
    """One figure, in the unit of its series; ``at`` is when its run ended."""

    run_id: str
    at: str
    median: float
    low: float
    high: float
    flags: list[str] = msgspec.field(default_factory=list)
    program_version: str | None = None
    driver: str | None = None


class HistorySeries(Record, frozen=True, kw_only=True):
    """Figures at equal settings, oldest first. ``parameters`` are those that decide what a figure means."""

    host: str | None = None
    device: str
    hardware_id: str
    name: str
    benchmark: str
    parameters: dict[str, Any]
    axes: dict[str, int | float | str] = msgspec.field(default_factory=dict)
    quantity: str
    unit: str
    runtime: str
    kernel_source_hash: str
    platform: str | None = None
    simulated: bool = False
    points: list[HistoryPoint]


class History(Record, frozen=True):
    """``truncated``: there are older figures than the limit allowed."""

    series: list[HistorySeries]
    truncated: bool = False


@dataclass(frozen=True)
class HistoryQuery:
    """The newest ``limit`` figures; ``device`` is an id, an alias or a name, ``since`` in ms since 1970."""

    device: str | None = None
    benchmark: str | None = None
    since: int | None = None
    limit: int = MAX_POINTS


_INSERT = (
    "INSERT INTO figures (series, subject, at, run, median, low, high, flags, program_version, driver) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def write_figures(database: sqlite3.Connection, document: RunDocument) -> None:
    """Put a finished run's figures into the table, in place of those that it may have there.

    A run that does not say when it ended or began has no place in time, and none in the table.
    """
    row = database.execute("SELECT sequence FROM runs WHERE run_id = ?", (document.run_id,)).fetchone()
    at = milliseconds(document.finished_at or document.created_at)
    if row is None or at is None or document.device is None:
        return
    (run,) = row
    environment = document.environment
    program = environment.program_version if environment else None
    database.execute("DELETE FROM figures WHERE run = ?", (run,))
    for figure in figures(document):
        subject = _id(database, "subjects", (*figure.subject, document.device.alias))
        series = _id(database, "series", (subject, settings_text(figure.settings)))
        summary = figure.summary
        database.execute(
            _INSERT,
            (
                *(series, subject, at, run),
                *(summary.median, summary.low, summary.high),
                *(figure.flags, program, document.driver),
            ),
        )


def read_history(database: sqlite3.Connection, query: HistoryQuery) -> History:
    """The newest figures that the query asks for, in their series; the series with the newest figure first.

    A row that is damaged is left out. Raises ``sqlite3.Error``.
    """
    rows = list(itertools.islice(_newest(database, query), query.limit + 1))
    points: dict[int, list[HistoryPoint]] = {}
    for row in rows[: query.limit]:
        with contextlib.suppress(msgspec.ValidationError, OverflowError):
            points.setdefault(row[2], []).append(_point(row))
    described = (_series(database, series, found[::-1]) for series, found in points.items())
    return History([each for each in described if each is not None], len(rows) > query.limit)


_COLUMNS = (
    "at, id, series, median, low, high, flags, program_version, driver, "
    "(SELECT run_id FROM runs WHERE sequence = run)"
)
_NEWEST = "at >= ? AND typeof(at) = 'integer' ORDER BY at DESC, id DESC LIMIT ?"


def _newest(database: sqlite3.Connection, query: HistoryQuery) -> Iterator[tuple[Any, ...]]:
    """Newest first. Each subject is read in its own order, and only as far as it is needed."""
    bounds = (query.since if query.since is not None else -(2**62), query.limit + 1)
    if query.device is None and query.benchmark is None:
        yield from database.execute(f"SELECT {_COLUMNS} FROM figures WHERE {_NEWEST}", bounds)  # noqa: S608
        return
    subjects = database.execute(
        "SELECT subject FROM subjects WHERE (:benchmark IS NULL OR benchmark = :benchmark) "
        "AND (:device IS NULL OR :device IN (device, alias, name))",
        {"device": query.device, "benchmark": query.benchmark},
    ).fetchall()
    statement = f"SELECT {_COLUMNS} FROM figures WHERE subject = ? AND {_NEWEST}"  # noqa: S608
    cursors: Iterable[sqlite3.Cursor] = [
        database.execute(statement, (subject, *bounds)) for (subject,) in subjects
    ]
    yield from heapq.merge(*cursors, key=lambda row: row[:2], reverse=True)


def _point(row: tuple[Any, ...]) -> HistoryPoint:
    at, _, _, median, low, high, flags, program, driver, run_id = row
    fields = {
        "run_id": run_id,
        "at": timestamp(at),
        "median": median,
        "low": low,
        "high": high,
        "flags": flags.split(",") if isinstance(flags, str) and flags else [],
        "program_version": program,
        "driver": driver,
    }
    return typed.convert(fields, HistoryPoint)


def _series(database: sqlite3.Connection, series: int, points: list[HistoryPoint]) -> HistorySeries | None:
    row = database.execute(
        "SELECT host, hardware_id, device, name, benchmark, settings "
        "FROM series JOIN subjects USING (subject) WHERE series = ?",
        (series,),
    ).fetchone()
    if row is None:
        return None
    try:
        subject = Subject(*row[:-1])
        settings = typed.decode(row[-1], Settings)
        fields = {**subject._asdict(), **msgspec.structs.asdict(settings), "points": points}
        return typed.convert({**fields, "host": subject.host or None}, HistorySeries)
    except (msgspec.MsgspecError, TypeError, RecursionError):
        return None


_TABLES = {
    "subjects": ("subject", "host, hardware_id, device, name, benchmark, alias", 5),
    "series": ("series", "subject, settings", 2),
}
"""The number's column, the others, and how many of them identify a row."""


def _id(database: sqlite3.Connection, table: str, values: tuple[Any, ...]) -> int:
    """The number of the row that has these values, which is made if there is none."""
    number, columns, identifying = _TABLES[table]
    names = columns.split(", ")
    condition = " AND ".join(f"{name} = ?" for name in names[:identifying])
    find = f"SELECT {number} FROM {table} WHERE {condition}"  # noqa: S608, all of it from the table above
    row = database.execute(find, values[:identifying]).fetchone()
    if row is not None:
        return int(row[0])
    marks = ", ".join("?" * len(values))
    made = database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)  # noqa: S608
    return int(made.lastrowid or 0)
