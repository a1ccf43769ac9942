"""The store: what it keeps, whatever happens, and what it says where it cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from gpubench.errors import DeviceLost, KeyConflict, StoreError, VerificationFailed
from gpubench.results.document import ErrorInfo, RunDocument, decode_document, encode_document
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
        assert list(store.recent_documents(10)) == [run]


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
        assert [run.run_id for run in store.recent_documents(10)] == ["b"]
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
    with Store(tmp_path) as store:
        assert [(run.run_id, run.state) for run in store.latest(9)] == [("b", "finished"), ("a", "finished")]
        assert store.find_key("a", "triad") is None
        kept = unreadable if isinstance(unreadable, bytes) else unreadable.encode()
        assert store.document("a") == kept
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


def test_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match="move it away"):
        Store(tmp_path)
