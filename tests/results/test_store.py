"""The store: what it keeps, whatever happens, and what it says where it cannot."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpubench.errors import DeviceLost, InvalidDocument, KeyConflict, StoreError, VerificationFailed
from gpubench.results.data_directory import LOCK_NAME
from gpubench.results.document import ErrorInfo, RunDocument, decode_document, encode_document
from gpubench.results.rows import LastOf
from gpubench.results.run_state import RunState
from gpubench.results.store import FILE_NAME, Store
from tests.documents import document, measurement
from tests.results.edit import replace_document


def accept(store: Store, run: RunDocument, request: str = "triad", device: str = "cuda:0") -> None:
    store.accept(run, request, device, ["triad"])


def test_a_finished_run_is_kept_byte_for_byte(tmp_path: Path) -> None:
    run = document(measurement(1500), run_id="a", finished_at="2026-01-02T03:04:09.000Z")
    with Store(tmp_path) as store:
        accept(store, run)
        assert store.document("a") is None  # it is not finished
        assert store.finish(run) == encode_document(run)
    with Store(tmp_path) as store:
        assert store.document("a") == encode_document(run)
        assert list(store.last_documents(10)) == [run]


def test_an_unfinished_run_ends_as_interrupted_with_what_it_had(tmp_path: Path) -> None:
    begun = document(run_id="a", key="k")
    grown = msgspec.structs.replace(begun, measurements=[measurement(1500)])
    with Store(tmp_path) as store:
        accept(store, begun)
        store.checkpoint(grown)
    with Store(tmp_path) as store:
        data = store.document("a")
        assert data is not None
        kept = decode_document(data)
        assert kept.outcome == "failed"
        assert kept.error is not None
        assert (kept.error.kind, kept.error.retryable) == ("interrupted", True)
        assert kept.measurements == grown.measurements
        assert store.find_key("k", "triad") is None  # a retry runs anew


def test_a_key_stands_for_one_request(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        run = document(run_id="a", key="k")
        accept(store, run)
        known = store.find_key("k", "triad")
        assert known is not None
        assert (known.run_id, known.finished) == ("a", False)
        store.finish(run)
        with pytest.raises(KeyConflict, match="belongs to run a"):
            store.find_key("k", "copy")
    with Store(tmp_path) as store:
        known = store.find_key("k", "triad")
        assert known is not None
        assert known.finished


@pytest.mark.parametrize(
    ("error", "released"), [(DeviceLost("gone"), True), (VerificationFailed("wrong"), False)]
)
def test_a_key_is_released_where_trying_again_can_help(
    tmp_path: Path, error: DeviceLost, released: bool
) -> None:
    with Store(tmp_path) as store:
        run = document(run_id="a", key="k")
        accept(store, run)
        store.finish(msgspec.structs.replace(run, outcome="failed", error=ErrorInfo.of(error)))
        assert (store.find_key("k", "triad") is None) == released


def test_the_latest_runs_come_newest_first(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for run_id, device in (("a", "cuda:0"), ("b", "cuda:1"), ("c", "cuda:0")):
            accept(store, document(run_id=run_id), device=device)
        store.finish(document(run_id="b"))
        assert [(run.run_id, run.state) for run in store.latest(2)] == [("c", "running"), ("b", "finished")]
        assert [run.run_id for run in store.latest(9, "cuda:0")] == ["c", "a"]


UNREADABLE = [b'{"schema": 99}', b'{"schema": 1, "run', b"\xff\x00", "edited by hand"]


@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_an_unreadable_document_is_left_out(
    tmp_path: Path, unreadable: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path) as store:
        for run_id in ("a", "b"):
            accept(store, document(run_id=run_id))
            store.finish(document(run_id=run_id))
    replace_document(tmp_path / FILE_NAME, "a", unreadable)
    with Store(tmp_path) as store:
        assert [run.run_id for run in store.last_documents(10)] == ["b"]
    (logged,) = caplog.messages
    assert logged.startswith("left out: run a ")


@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_an_unreadable_unfinished_run_is_kept_as_it_is(
    tmp_path: Path, unreadable: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path) as store:
        for run_id in ("a", "b"):
            accept(store, document(run_id=run_id, key=run_id))
    replace_document(tmp_path / FILE_NAME, "a", unreadable, finished=False)
    kept = unreadable if isinstance(unreadable, bytes) else unreadable.encode()
    with Store(tmp_path) as store:
        assert [(run.run_id, run.state) for run in store.latest(9)] == [("b", "finished"), ("a", "finished")]
        assert store.find_key("a", "triad") is None
        if b"99" in kept:  # a newer program's: its reader decides what to make of it
            assert store.document("a") == kept
        else:
            with pytest.raises(InvalidDocument, match=r"run a .* is damaged in the server's store"):
                store.document("a")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute("SELECT CAST(document AS BLOB) FROM runs WHERE run_id = 'a'").fetchone() == (
            kept,
        )
    assert "run a " in caplog.messages[0]


def test_a_directory_serves_one_server(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(StoreError, match="in use by another gpubench"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StoreError, match=r"cannot be used.*--data-dir"):
        Store(tmp_path / "file")


def test_a_newer_database(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer gpubench"):
        Store(tmp_path)


def test_a_newer_database_is_left_as_it_is(tmp_path: Path) -> None:
    """Also if a newer program keeps it in another way."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("CREATE TABLE newer (something)")
        database.execute("PRAGMA user_version = 99")
    before = (tmp_path / FILE_NAME).read_bytes()
    for check in (False, True):
        with pytest.raises(StoreError, match="newer gpubench"):
            Store(tmp_path, check=check)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match="move it away"):
        Store(tmp_path)


def finished(
    store: Store, run_id: str, key: str | None = None, last_of: tuple[LastOf, ...] = ()
) -> RunDocument:
    run = document(measurement(1500), run_id=run_id, key=key, finished_at="2026-01-02T03:04:09.000Z")
    accept(store, run)
    store.finish(run, last_of)
    return run


def edit(directory: Path, statement: str, *values: object) -> None:
    """Change rows behind the store's back."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as database, database:
        assert database.execute(statement, values).rowcount > 0


COLUMNS = ("key", "request", "outcome", "device", "benchmarks", "created_at", "finished_at", "document")
DAMAGE = ("x'fffe'", "CAST(x'fffe' AS TEXT)", "''", "'\ud7ff'", "1000000000000000", "-1.5e308", "'[[[[{'")
"""In SQL: bytes, text that is not UTF-8, and values of other types than the column's."""


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("was_finished", [True, False])
def test_one_damaged_value_hides_no_other_run(
    tmp_path: Path, column: str, damage: str, was_finished: bool
) -> None:
    """Whatever stands in a column of one run: the store opens, and everything else is served."""
    with Store(tmp_path) as store:
        finished(store, "a", last_of=(LastOf("cuda:0", "triad", "double", True),))
        good = finished(store, "b", key="k", last_of=(LastOf("cuda:1", "triad", "double", True),))
    edit(tmp_path, f"UPDATE runs SET {column} = {damage}, finished = ? WHERE run_id = 'a'", was_finished)
    with Store(tmp_path) as store:
        assert store.document("b") == encode_document(good)
        assert store.find_key("k", "triad") is not None
        listed = store.latest(9)
        assert "b" in [run.run_id for run in listed]
        assert [msgspec.json.decode(msgspec.json.encode(run), type=RunState) for run in listed] == listed
        assert good in list(store.last_documents(9))
        finished(store, "c")
        assert store.problem() is None


def test_a_damaged_page_of_the_file_hides_one_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The document is long enough for pages of its own, whose chain is cut."""
    with Store(tmp_path) as store:
        for run_id in ("a", "b"):
            middle = measurement(1500, stopped_because=f"the middle of {run_id}")
            around = [measurement(1500)] * 30
            run = document(*around, middle, *around, run_id=run_id, key=run_id)
            accept(store, run)
            store.finish(run)
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = database.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    page = data.index(b"the middle of a") // size * size
    data[page : page + 4] = (2**31 - 1).to_bytes(4, "big")  # the number of the page that follows
    path.write_bytes(data)
    with Store(tmp_path) as store:
        with pytest.raises(InvalidDocument, match="run a"):
            store.document("a")
        assert store.document("b") is not None
        assert [run.run_id for run in store.last_documents(9)] == ["b"]
    assert any("run a" in message for message in caplog.messages)


def test_a_damaged_run_releases_its_key(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        finished(store, "a", key="k")
    replace_document(tmp_path / FILE_NAME, "a", b"no document")
    with Store(tmp_path) as store:
        with pytest.raises(InvalidDocument):
            store.document("a")
        assert store.find_key("k", "triad") is None


def test_the_last_runs_of_each_series_are_found(tmp_path: Path) -> None:
    """After any number of others."""
    series = LastOf("cuda:0", "triad", "double", True)
    with Store(tmp_path) as store:
        finished(store, "valid", last_of=(series, series._replace(valid=False)))
        for number in range(30):
            finished(store, f"other-{number}", last_of=(series._replace(valid=False),))
    with Store(tmp_path) as store:
        assert [run.run_id for run in store.last_documents(10)] == ["valid", "other-29"]


def test_a_store_of_an_older_program_gives_its_newest_runs(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for run_id in ("a", "b", "c"):
            finished(store, run_id)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("DROP INDEX runs_by_end")
        tables = ("last_runs", "subjects", "series", "figures", "waiting")
        database.executescript("".join(f"DROP TABLE {name};" for name in tables) + "PRAGMA user_version = 1;")
    with Store(tmp_path) as store:
        assert [run.run_id for run in store.last_documents(2)] == ["b", "c"]


def moved_away(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))


def replaced(directory: Path) -> None:
    moved_away(directory)
    directory.mkdir()


def file_removed(directory: Path) -> None:
    (directory / FILE_NAME).unlink()


def log_removed(directory: Path) -> None:
    (directory / f"{FILE_NAME}-wal").unlink()


def index_removed(directory: Path) -> None:
    (directory / f"{FILE_NAME}-shm").unlink()


@pytest.mark.parametrize(
    ("lose", "lost"),
    [
        (shutil.rmtree, "the data directory .*data was removed, renamed"),
        (moved_away, "the data directory .*data was removed, renamed"),
        (replaced, "the data directory .*data was removed, renamed"),
        (file_removed, f"{FILE_NAME} was removed"),
        (log_removed, f"{FILE_NAME}-wal was removed"),
        (index_removed, f"{FILE_NAME}-shm was removed"),
    ],
)
def test_nothing_is_acknowledged_once_the_directory_is_lost(tmp_path: Path, lose: Any, lost: str) -> None:
    directory = tmp_path / "data"
    with Store(directory) as store:
        before = finished(store, "before")
        accept(store, document(run_id="begun"))
        assert store.problem() is None
        lose(directory)
        assert re.search(lost, store.problem() or "")
        with pytest.raises(StoreError, match=lost):
            accept(store, document(run_id="after"))
        with pytest.raises(StoreError, match=lost):
            store.finish(document(run_id="begun"))
        # What is known is still told.
        assert store.document("before") == encode_document(before)
        assert store.document("begun") is not None


def test_a_directory_that_is_moved_back_serves_again(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with Store(directory) as store:
        accept(store, document(run_id="begun"))
        moved_away(directory)
        with pytest.raises(StoreError):
            store.finish(document(run_id="begun"))
        (tmp_path / "elsewhere").rename(directory)
        assert store.problem() is None
    with Store(directory) as store:
        assert store.document("begun") is not None  # it was kept in memory and stored late


def test_a_removed_lock_file_lets_nobody_in(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        (tmp_path / LOCK_NAME).unlink()
        with pytest.raises(StoreError, match="in use by another gpubench"):
            Store(tmp_path)
        finished(store, "a")  # which puts the lock file back
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
        with pytest.raises(StoreError, match=f"process {os.getpid()}"):
            Store(tmp_path)
    Store(tmp_path).close()


def test_a_removed_lock_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems."""
    lock = fcntl.flock

    def files_only(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", files_only)
    with Store(tmp_path) as store:
        with pytest.raises(StoreError, match="in use by another gpubench"):
            Store(tmp_path)
        (tmp_path / LOCK_NAME).unlink()
        assert "lock file" in (store.problem() or "")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TRIGGER no BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'refused'); END", "refused"),
        ("ALTER TABLE runs RENAME COLUMN request TO asked", "no column named request"),
        ("ALTER TABLE runs ADD COLUMN more TEXT NOT NULL DEFAULT (1/0 || NULL)", "more"),
    ],
)
def test_a_foreign_database_is_a_problem(tmp_path: Path, statement: str, reason: str) -> None:
    """A run could not be stored in it; its own tables look as ours did."""
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute(statement)
    with Store(tmp_path) as store:
        assert reason in (store.problem() or "")


def test_looking_for_problems_leaves_nothing_behind(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        finished(store, "a")
        before = sorted(each.name for each in tmp_path.iterdir())
        assert store.problem() is None
        assert [run.run_id for run in store.latest(9)] == ["a"]
        assert sorted(each.name for each in tmp_path.iterdir()) == before
