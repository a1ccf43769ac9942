"""What a store makes of the runs that had not ended when its process died."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gpubench.results import database
from gpubench.results.document import ErrorInfo, RunDocument, decode_document
from gpubench.results.store import FILE_NAME, Store
from gpubench.results.unfinished import Terms
from tests.documents import document, measurement
from tests.results.edit import replace_document


def accept(store: Store, run_id: str, detached: bool = True, key: str | None = None) -> RunDocument:
    run = document(run_id=run_id, key=key)
    store.accept(run, "request", "cuda:0", ["triad"], Terms(detached, b"{}"))
    return run


def error_of(store: Store, run_id: str) -> ErrorInfo:
    data = store.document(run_id)
    assert data is not None
    error = decode_document(data).error
    assert error is not None
    return error


def test_detached_runs_wait_on_in_their_order(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        runs = [accept(store, run_id, key=run_id) for run_id in ("c", "a", "b")]
    for _ in range(2):  # a process that only looks changes nothing
        with Store(tmp_path) as store:
            assert [(each.document, each.terms) for each in store.waiting()] == [(run, b"{}") for run in runs]
            assert store.document("a") is None
            known = store.find_key("a", "request")
            assert known is not None
            assert not known.finished


def test_a_run_that_has_started_does_not_wait(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        accept(store, "a")
        store.start("a")
        store.detach("a")
        run = accept(store, "b")  # whose start could not be stored
        store.checkpoint(msgspec.structs.replace(run, measurements=[measurement(1500)]))
    with Store(tmp_path) as store:
        assert store.waiting() == []
        assert "has 0 finished measurements:" in error_of(store, "a").message
        assert "has 1 finished measurement:" in error_of(store, "b").message


def test_an_attached_run_ends_with_its_client(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        accept(store, "a", detached=False, key="k")
        accept(store, "b", detached=False)
        store.detach("b")
    with Store(tmp_path) as store:
        assert [each.document.run_id for each in store.waiting()] == ["b"]
        error = error_of(store, "a")
        assert (error.kind, error.retryable) == ("interrupted", True)
        assert "before this run had started" in error.message
        assert store.find_key("k", "request") is None


def test_a_run_that_ended_does_not_wait(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.finish(accept(store, "a"))
        assert store.waiting() == []
    with Store(tmp_path) as store, store._reading() as rows:
        assert rows.execute("SELECT count(*) FROM waiting").fetchone() == (0,)


@pytest.mark.parametrize("damaged", [b"no document", b'{"schema": 99}'])
def test_an_unreadable_run_does_not_wait(tmp_path: Path, damaged: bytes) -> None:
    with Store(tmp_path) as store:
        accept(store, "a")
        accept(store, "b")
    replace_document(tmp_path / FILE_NAME, "a", damaged, finished=False)
    with Store(tmp_path) as store:
        assert [each.document.run_id for each in store.waiting()] == ["b"]
        assert [run.state for run in store.latest(9) if run.run_id == "a"] == ["finished"]
        with store._reading() as rows:
            assert rows.execute("SELECT run_id FROM waiting").fetchall() == [("b",)]


@pytest.mark.parametrize("damage", ["'yes'", "x'ff'", "2", "-1.5"])
def test_a_damaged_row_is_taken_for_an_attached_run(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path) as store:
        accept(store, "a")
        accept(store, "b")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as edited, edited:
        edited.execute(f"UPDATE waiting SET detached = {damage} WHERE run_id = 'a'")
    with Store(tmp_path) as store:
        assert [each.document.run_id for each in store.waiting()] == ["b"]
        assert error_of(store, "a").kind == "interrupted"


def test_a_store_of_the_version_before_is_opened(tmp_path: Path) -> None:
    """Its finished runs are kept, and the one that was in the queue has ended as it would have then."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        for script in database._MIGRATIONS[:3]:
            old.executescript(script)
        finished, queued = document(run_id="finished"), document(run_id="queued", key="k")
        for run, ended in ((finished, 1), (queued, 0)):
            values = (run.run_id, run.key, ended, "ok" if ended else None, msgspec.json.encode(run))
            old.execute(
                "INSERT INTO runs (run_id, key, finished, outcome, document, request, device, benchmarks, "
                "created_at) VALUES (?, ?, ?, ?, ?, 'request', 'cuda:0', '[\"triad\"]', '2026-01-02')",
                values,
            )
        old.execute("PRAGMA user_version = 3")
        old.commit()
    with Store(tmp_path) as store:
        assert store.document("finished") == msgspec.json.encode(finished)
        assert error_of(store, "queued").kind == "interrupted"
        accept(store, "new")
    with Store(tmp_path) as store:
        assert [each.document.run_id for each in store.waiting()] == ["new"]
